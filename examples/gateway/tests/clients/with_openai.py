import openai
from probe import env, raised, report, streamed

client = openai.OpenAI()
ask = {"messages": [{"role": "user", "content": "Say hello"}]}


def chat(client, model="gpt-test"):
    return client.chat.completions.create(model=model, **ask)


def stream():
    chunks = client.chat.completions.create(model="gpt-test", stream=True, **ask)
    return streamed(chunk.choices[0].delta.content for chunk in chunks)


def status(error):
    return error.status_code


def code(error):
    return error.code


refused = openai.OpenAI(api_key=env("BAD_KEY"))
down = openai.OpenAI(base_url=env("DOWN_URL"), max_retries=0)
report(
    version=openai.__version__,
    plain=chat(client).choices[0].message.content,
    response=client.responses.create(model="gpt-test", input="Say hello").output_text,
    stream=stream(),
    upload=client.files.create(file=("note.txt", b"a note"), purpose="user_data").id,
    models=[model.id for model in client.models.list()],
    pages=[file.id for file in client.files.list(limit=1)],
    error=raised(lambda: chat(client, "no-such-model"), status=status, code=code),
    refused=raised(lambda: chat(refused), status=status),
    down=raised(lambda: chat(down), status=status),
)
