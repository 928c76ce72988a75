/* What the server refuses, such as images that have vanished from its storage, is told: else a viewport stays black. */
const QUIET_MS = 10_000; // all images of a series fail alike
const MESSAGES = {
  404: 'The server does not know an image of this study any more. Load the page again.',
  406: 'An image cannot be decoded by the server, nor by the viewer.',
  410: 'An image is not where it was, or has changed since: the server needs another ingest.',
};

/* Show what `httpErrorHandler` of app-config.js sends. */
export function tellFailures({ uiNotificationService }) {
  let last = -QUIET_MS;
  window.addEventListener('request-failed', ({ detail: status }) => {
    if (status >= 400 && performance.now() - last > QUIET_MS) {
      last = performance.now();
      const message = MESSAGES[status] ?? `The server answered with status ${status}; its log says why.`;
      uiNotificationService.show({ title: 'Not all can be shown', message, type: 'error', duration: QUIET_MS });
    }
  });
}
