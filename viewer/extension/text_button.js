/* A toolbar button with words on it, where OHIF's have an icon only. */
import { reactElement } from './react_element.js';

/* A component for the toolbar: `id`, `label` and `commands` are those of the button's definition. */
export function textButton({ id, label, commands, onInteraction }) {
  return reactElement('button', {
    type: 'button',
    name: id,
    'data-cy': id,
    className: 'text-primary hover:text-highlight hover:bg-background h-10 rounded-lg px-2 text-sm whitespace-nowrap',
    onClick: () => onInteraction({ itemId: id, commands }),
    children: label,
  });
}
