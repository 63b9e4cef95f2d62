from google import genai
from google.genai import types
from probe import env, raised, report, streamed

client = genai.Client()


def ask(client, text="Say hello"):
    return client.models.generate_content(model="gemini-test", contents=text)


def stream():
    chunks = client.models.generate_content_stream(model="gemini-test", contents="Say hello")
    return streamed(chunk.text for chunk in chunks)


def status(error):
    return error.code


def message(error):
    return error.message


refused = genai.Client(api_key=env("BAD_KEY"))
down = genai.Client(http_options=types.HttpOptions(base_url=env("DOWN_URL")))
report(
    version=genai.__version__,
    plain=ask(client).text,
    stream=stream(),
    pages=[model.name for model in client.models.list(config={"page_size": 1, "query_base": True})],
    error=raised(lambda: ask(client, "nonsense"), status=status, message=message),
    refused=raised(lambda: ask(refused), status=status),
    down=raised(lambda: ask(down), status=status),
)
