"""LocalStack, with a JSONata from PyPI instead of the one that it would fetch from Maven and run in a JVM, and with one
JSONPath parsed at a time: its parser generator is not made for threads, and once confused refuses every path after."""

import functools
import threading

import jsonata
import jsonpath_ng
import jsonpath_ng.ext


def alone(parse, lock=threading.Lock()):
    @functools.cache
    def parse_alone(path):
        with lock:
            return parse(path)

    return parse_alone


def patch():
    # Before anything of LocalStack takes them from there.
    jsonpath_ng.parse = alone(jsonpath_ng.parse)
    jsonpath_ng.ext.parse = alone(jsonpath_ng.ext.parse)
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
