import { createRequire } from "node:module";
import { once } from "node:events";
import { WebSocket } from "ws";

const { CHAT_BASE_URL, CHAT_API_KEY, BAD_KEY, DOWN_URL } = process.env;
const url = CHAT_BASE_URL.replace("http", "ws") + "/echo?room=1";
const { version } = createRequire(process.cwd() + "/")("ws/package.json");

const bearer = (key) => ({ headers: { authorization: `Bearer ${key}` } });

async function opened(protocols, options, at = url) {
  const socket = new WebSocket(at, protocols, options);
  await once(socket, "open");
  return socket;
}

async function answered(socket, message) {
  socket.send(message);
  const [data, binary] = await once(socket, "message");
  return binary ? [...data] : data.toString();
}

async function refused(key, at) {
  const socket = new WebSocket(at, [], bearer(key));
  const [, response] = await once(socket, "unexpected-response");
  socket.on("error", () => {});
  socket.terminate();
  return { status: response.statusCode };
}

const socket = await opened(["other", "chat"], bearer(CHAT_API_KEY));
const large = "0123456789abcdef".repeat(1 << 18);
const facts = {
  version,
  echo: await answered(socket, "hello"),
  binary: await answered(socket, Buffer.from([0, 1])),
  large: (await answered(socket, large)) === large,
  pong: await answered(socket, "ping"),
  extensions: socket.extensions,
  subprotocol: socket.protocol,
};
socket.ping();
await once(socket, "pong");
socket.send("close");
const [code, reason] = await once(socket, "close");
facts.closed = [code, reason.toString()];

const listed = await opened(["chat", `token.${CHAT_API_KEY}`]);
facts.listed = [listed.protocol, await answered(listed, "hello")];
listed.close(4002, "enough");
await once(listed, "close");

facts.refused = await refused(BAD_KEY, url);
facts.down = await refused(CHAT_API_KEY, DOWN_URL.replace("http", "ws"));
process.stdout.write(JSON.stringify(facts));
