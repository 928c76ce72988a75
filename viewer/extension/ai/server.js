/* The server's routes of /api/ai. */

const ROOT = '/api/ai';

/* What went wrong, and what to do about it. */
export class ServerError extends Error {
  constructor({ error, remedy = '' }) {
    super(error);
    this.remedy = remedy;
  }
}

/* Ask for JSON; `query` and `body` are plain objects. */
export async function ask(path, { method = 'GET', query = {}, body } = {}) {
  const search = new URLSearchParams(query).toString();
  return (await send(search ? `${path}?${search}` : path, { method, body })).json();
}

/* Run a model on a series; `onProgress` is told `{progress, message}`. Answers what was found, with the bytes of all
   slices as `labelmap`. */
export async function segment(asked, { signal, onProgress }) {
  const pieces = new Pieces(await send('/segment', { method: 'POST', body: asked, signal }));
  for (;;) {
    const line = JSON.parse(new TextDecoder().decode(await pieces.line()));
    if (line.error) {
      throw new ServerError(line);
    } else if (line.result) {
      const labelmap = await inflated(await pieces.take(line.result.bytes));
      signal.throwIfAborted();
      return { ...line.result, labelmap };
    }
    onProgress(line);
  }
}

async function send(path, { body, ...options }) {
  const json = body && { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } };
  const response = await fetch(ROOT + path, { ...options, ...json }).catch(error => {
    throw error.name === 'AbortError' ? error : new ServerError({ error: 'The server cannot be reached' });
  });
  if (!response.ok) {
    const told = await response.json().catch(() => ({ error: `The server answers ${response.status}` }));
    throw new ServerError(told);
  }
  return response;
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/* A body that is read line by line, and then as bytes. */
class Pieces {
  constructor(response) {
    this.reader = response.body.getReader();
    this.read = new Uint8Array(0);
  }

  async line() {
    let end;
    while ((end = this.read.indexOf(10)) < 0) {
      await this.more();
    }
    const line = await this.take(end + 1);
    return line.subarray(0, end);
  }

  async take(count) {
    while (this.read.length < count) {
      await this.more();
    }
    const taken = this.read.subarray(0, count);
    this.read = this.read.subarray(count);
    return taken;
  }

  async more() {
    const { value, done } = await this.reader.read();
    if (done) {
      throw new ServerError({ error: 'The server broke off', remedy: 'Its log says why.' });
    }
    const all = new Uint8Array(this.read.length + value.length);
    all.set(this.read);
    all.set(value, this.read.length);
    this.read = all;
  }
}
