/* Make an element of the page: properties, `data` attributes, and what is in it; what is null or false is left out. */
export function make(tag, { data = {}, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  Object.assign(node.dataset, data);
  node.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

/* A button, to which a double click is one click; `name` is what tests find it by. */
export function button(name, label, onclick, properties = {}) {
  const once = event => event.detail > 1 || onclick(event);
  return make('button', { type: 'button', data: { cy: name }, onclick: once, ...properties }, label);
}

/* What went wrong and what to do about it; nothing if nothing did. */
export function errorBox(error) {
  return (
    error &&
    make(
      'div',
      { className: 'ai-error', role: 'alert', data: { cy: 'ai-error' } },
      make('p', {}, sentence(error.message)),
      error.remedy && make('p', { className: 'ai-quiet' }, error.remedy)
    )
  );
}

export function bar(part) {
  const inner = make('div');
  inner.style.width = `${Math.round(100 * part)}%`;
  return make('div', { className: 'ai-bar', role: 'progressbar', ariaValueNow: String(Math.round(100 * part)) }, inner);
}

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
