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
    one_scope_per_definition()


def one_scope_per_definition():
    """The query language of the definition being read is kept for all threads, and stays after one that is not valid."""
    from localstack.services.stepfunctions.asl.parse.preprocessor import Preprocessor

    init = Preprocessor.__init__

    def own(self, *arguments, **named):
        init(self, *arguments, **named)
        self._query_language_per_scope = []

    Preprocessor.__init__ = own


patch()
from localstack.runtime.main import main  # noqa: E402

main()
