/* What the server refuses, such as images that have vanished from its storage, is told: else a viewport stays black, or
   something seems to be stored that is not. */
const QUIET_MS = 10_000; // all images of a series fail alike
const MESSAGES = {
  404: 'The server does not know an image of this study any more. Load the page again.',
  406: 'An image cannot be decoded by the server, nor by the viewer.',
  410: 'An image is not where it was, or has changed since: the server needs another ingest.',
};

let refusal; // while something is saved: what the server said last

/* Save something. If the server refuses, its words are the error, and the series that OHIF lists before it is stored goes. */
export async function saved({ displaySetService }, save) {
  const before = new Set(displaySetService.getActiveDisplaySets());
  refusal = {};
  try {
    return await save();
  } catch (error) {
    displaySetService
      .getActiveDisplaySets()
      .filter(one => !before.has(one) && ['SEG', 'SR'].includes(one.Modality))
      .forEach(({ displaySetInstanceUID }) => displaySetService.deleteDisplaySet(displaySetInstanceUID));
    throw refusal.message ? new Error(`It is not saved: ${refusal.message}`) : error;
  } finally {
    refusal = undefined;
  }
}

/* What an answer of the server says, a JSON object with `error`; without that its status. */
function wordsOf({ response, status }) {
  if (!status) {
    return 'the server cannot be reached.';
  }
  let words;
  try {
    words = JSON.parse(typeof response === 'string' ? response : new TextDecoder().decode(response)).error;
  } catch {
    // it is no JSON
  }
  return words ?? `the server answered with status ${status}.`;
}

/* Show what `httpErrorHandler` of app-config.js sends. */
export function tellFailures({ uiNotificationService }) {
  let last = -QUIET_MS;
  window.addEventListener('request-failed', ({ detail: error }) => {
    const { status } = error;
    if (refusal) {
      refusal.message = wordsOf(error);
    } else if (status >= 400 && performance.now() - last > QUIET_MS) {
      last = performance.now();
      const message = MESSAGES[status] ?? `The server answered with status ${status}; its log says why.`;
      uiNotificationService.show({ title: 'Not all can be shown', message, type: 'error', duration: QUIET_MS });
    }
  });
}
