import OpenAI, { toFile } from "openai";
import { VERSION } from "openai/version";

const { BAD_KEY, DOWN_URL, ACKNOWLEDGE } = process.env;
const client = new OpenAI();
const messages = [{ role: "user", content: "Say hello" }];

const chat = (client, model = "gpt-test") => client.chat.completions.create({ model, messages });

async function stream() {
  const texts = [];
  for await (const chunk of await client.chat.completions.create({ model: "gpt-test", messages, stream: true })) {
    // Only then does the API send the next.
    if (texts.length === 0) await fetch(ACKNOWLEDGE);
    texts.push(chunk.choices[0].delta.content);
  }
  return texts;
}

async function all(list) {
  const ids = [];
  for await (const item of list) ids.push(item.id);
  return ids;
}

async function raised(call) {
  try {
    await call();
  } catch (error) {
    const api = error instanceof OpenAI.APIError;
    return { class: error.constructor.name, api, text: error.message, status: error.status, code: error.code };
  }
  return { class: "none" };
}

const refused = new OpenAI({ apiKey: BAD_KEY });
const down = new OpenAI({ baseURL: DOWN_URL, maxRetries: 0 });
const facts = {
  version: VERSION,
  plain: (await chat(client)).choices[0].message.content,
  response: (await client.responses.create({ model: "gpt-test", input: "Say hello" })).output_text,
  stream: await stream(),
  upload: (await client.files.create({ file: await toFile(Buffer.from("a note"), "note.txt"), purpose: "user_data" })).id,
  models: await all(client.models.list()),
  pages: await all(client.files.list({ limit: 1 })),
  error: await raised(() => chat(client, "no-such-model")),
  refused: await raised(() => chat(refused)),
  down: await raised(() => chat(down)),
};
process.stdout.write(JSON.stringify(facts));
