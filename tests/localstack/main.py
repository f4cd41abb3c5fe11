"""LocalStack, with a JSONata from PyPI instead of the one that it would fetch from Maven and run in a JVM."""

import jsonata


def patch():
    from localstack.services.stepfunctions.asl.jsonata import jsonata as bridge

    def eval_jsonata(expression):
        try:
            return jsonata.Jsonata(expression).evaluate(None)
        except Exception as error:
            raise bridge.JSONataException("UNKNOWN", str(error)) from error

    bridge._eval_jsonata = eval_jsonata


patch()
from localstack.runtime.main import main  # noqa: E402

main()
