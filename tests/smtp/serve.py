"""A mail server that takes mail after STARTTLS and a password, and nothing else. Each mail is a line of JSON in a file.

usage: serve.py PORT CERTIFICATE KEY NAME PASSWORD FILE
"""

import json
import ssl
import sys
import threading
from email import message_from_bytes, policy

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

port, certificate, key, name, password, file = sys.argv[1:]


class Keep:
    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=policy.default)
        parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
        line = {
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "encrypted": session.ssl is not None,
            "headers": {name: str(value) for name, value in mail.items()},
            "text": parts.get("text/plain"),
            "html": parts.get("text/html"),
        }
        with open(file, "a", encoding="utf-8") as kept:
            print(json.dumps(line), file=kept, flush=True)
        return "250 kept"


def check(server, session, envelope, mechanism, data):
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (name.encode(), password.encode())
    return AuthResult(success=known, handled=False)


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certificate, key)
controller = Controller(
    Keep(),
    hostname="127.0.0.1",
    port=int(port),
    tls_context=context,
    require_starttls=True,
    authenticator=check,
    auth_required=True,
)
controller.start()
print("ready", flush=True)
threading.Event().wait()
