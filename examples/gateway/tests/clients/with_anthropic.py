import anthropic
from probe import env, raised, report, streamed

client = anthropic.Anthropic()
ask = {"model": "claude-test", "messages": [{"role": "user", "content": "Say hello"}]}


def stream():
    with client.messages.stream(max_tokens=16, **ask) as events:
        texts = streamed(events.text_stream)
        return {"texts": texts, "message": events.get_final_message().content[0].text}


def status(error):
    return error.status_code


def request_id(error):
    return error.request_id


refused = anthropic.Anthropic(api_key=env("BAD_KEY"))
down = anthropic.Anthropic(base_url=env("DOWN_URL"), max_retries=0)
report(
    version=anthropic.__version__,
    plain=client.messages.create(max_tokens=16, **ask).content[0].text,
    tokens=client.messages.count_tokens(**ask).input_tokens,
    stream=stream(),
    upload=client.beta.files.upload(file=("note.txt", b"a note", "text/plain")).id,
    pages=[model.id for model in client.models.list(limit=1)],
    error=raised(lambda: client.messages.create(max_tokens=5000, **ask), status=status, request_id=request_id),
    refused=raised(lambda: refused.messages.create(max_tokens=16, **ask), status=status),
    down=raised(lambda: down.messages.create(max_tokens=16, **ask), status=status),
)
