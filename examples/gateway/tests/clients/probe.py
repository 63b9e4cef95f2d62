"""What the scripts share: they print what they saw as JSON, and the tests judge it."""

import json
import os
import urllib.request


def env(name):
    return os.environ[name]


def acknowledge():
    """Tells the API, past the gateway, that the first event is here: only then does it send the next."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    direct.open(env("ACKNOWLEDGE"), timeout=60).read()


def streamed(chunks):
    """All chunks, the first of them acknowledged."""
    seen = []
    for chunk in chunks:
        if not seen:
            acknowledge()
        seen.append(chunk)
    return seen


def raised(call, **facts):
    """The exception that the call ends in: its class, its text, and what else it tells, if it does."""
    try:
        call()
    except Exception as error:
        kind = type(error)
        found = {"class": f"{kind.__module__.split('.')[0]}.{kind.__name__}", "text": str(error)}
        for name, attribute in facts.items():
            try:
                found[name] = attribute(error)
            except AttributeError:
                found[name] = None
        return found
    return {"class": "none"}


def report(**facts):
    print(json.dumps(facts))
