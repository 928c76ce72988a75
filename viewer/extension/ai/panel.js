/* The panel on the right: models that segment what is looked at, and learn from what is corrected. */
import { reactElement } from '../react_element.js';
import { Assistant } from './assistant.js';
import { make } from './dom.js';
import { SECTIONS } from './sections.js';
import { STYLE } from './style.js';

/* Make OHIF's definition of the panel. */
export function assistantPanel(managers) {
  const assistant = new Assistant(managers);
  let unmount;
  const ref = root => {
    unmount?.();
    unmount = root && mount(root, assistant);
  };
  return {
    name: 'assistant',
    iconName: 'icon-tool-click-segment',
    iconLabel: 'AI',
    label: 'AI',
    component: () => reactElement('div', { ref, className: 'pixels-ai h-full overflow-auto ohif-scrollbar' }),
  };
}

function mount(root, assistant) {
  root.replaceChildren(make('style', {}, STYLE));
  const updates = SECTIONS.map(section => addSection(root, section, assistant));
  const update = () => updates.forEach(update => update(assistant.store.state));
  // What is pressed stays there until it is released: else that would be no click.
  let isPressed = false;
  const press = () => (isPressed = true);
  const release = () => {
    isPressed = false;
    setTimeout(update); // after the click
  };
  const ends = ['pointerup', 'pointercancel'];
  root.addEventListener('pointerdown', press);
  ends.forEach(end => window.addEventListener(end, release));
  const unfollow = assistant.store.follow(() => isPressed || update());
  const detach = assistant.attach();
  return () => {
    detach();
    unfollow();
    root.removeEventListener('pointerdown', press);
    ends.forEach(end => window.removeEventListener(end, release));
    root.replaceChildren();
  };
}

/* Add a part, and return what brings it up to date: nothing happens to what a person may be using, else. */
function addSection(root, { title, shows, content }, assistant) {
  const inner = make('div', { className: 'ai-content' });
  const section = make('section', {}, make('h3', {}, title), inner);
  root.append(section);
  let shown;
  return state => {
    const now = shows(state);
    if (!shown || now.some((value, at) => value !== shown[at])) {
      shown = now;
      const nodes = content(assistant);
      const focused = inner.contains(document.activeElement) && document.activeElement.dataset.cy;
      section.hidden = !nodes;
      inner.replaceChildren(...(nodes ?? []).flat().filter(Boolean));
      if (focused) {
        inner.querySelector(`[data-cy="${focused}"]`)?.focus();
      }
    }
  };
}
