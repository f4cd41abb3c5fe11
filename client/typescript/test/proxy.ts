import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** Between clients and a server. What the server says can be swallowed, all connections cut, and new ones refused. */
export class Proxy {
  readonly #sockets = new Set<Socket>();
  readonly #listener = createServer((client) => this.#accept(client));
  readonly #server: { host: string; port: number };
  swallows = false;
  refuses = false;
  connections = 0;
  url = "";

  private constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.#server = { host: hostname, port: Number(port) };
  }

  static async start(url: string): Promise<Proxy> {
    const proxy = new Proxy(url);
    proxy.#listener.listen(0, "127.0.0.1");
    await once(proxy.#listener, "listening");
    proxy.url = `http://127.0.0.1:${(proxy.#listener.address() as AddressInfo).port}`;
    return proxy;
  }

  /** Ends all connections. */
  cut(): void {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
  }

  async close(): Promise<void> {
    this.#listener.close();
    this.cut();
    await once(this.#listener, "close");
  }

  #accept(client: Socket): void {
    if (this.refuses) {
      client.destroy();
      return;
    }
    this.connections += 1;
    const server = connect(this.#server);
    this.#pump(client, server, () => true);
    this.#pump(server, client, () => !this.swallows);
  }

  #pump(source: Socket, sink: Socket, passes: () => boolean): void {
    this.#sockets.add(source);
    source.on("data", (data) => {
      if (passes()) {
        sink.write(data);
      }
    });
    source.on("error", () => undefined);
    source.on("close", () => {
      this.#sockets.delete(source);
      sink.destroy();
    });
  }
}
