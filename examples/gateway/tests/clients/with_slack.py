from probe import env, raised, report
from slack_sdk import WebClient
from slack_sdk.version import __version__

client = WebClient(token=env("SLACK_BOT_TOKEN"), base_url=env("SLACK_API_URL"))


def status(error):
    return error.response.status_code


def code(error):
    return error.response["error"]


refused = WebClient(token=env("BAD_KEY"), base_url=env("SLACK_API_URL"))
down = WebClient(token=env("SLACK_BOT_TOKEN"), base_url=env("DOWN_URL"))
pages = client.conversations_list(limit=1)
report(
    version=__version__,
    identity=client.auth_test()["user"],
    plain=client.chat_postMessage(channel="C1", text="hello & good day")["ts"],
    pages=[channel["name"] for page in pages for channel in page["channels"]],
    error=raised(lambda: client.chat_postMessage(channel="C404", text="hello"), status=status, code=code),
    refused=raised(lambda: refused.auth_test(), status=status),
    down=raised(lambda: down.auth_test(), status=status),
)
