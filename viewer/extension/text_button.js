/* A toolbar button with words on it, where OHIF's have an icon only. */

/* Make a React element by hand, for OHIF does not hand out the React that it has in it. */
function element(type, props) {
  return { $$typeof: Symbol.for('react.element'), type, key: null, ref: null, props, _owner: null };
}

/* A component for the toolbar: `id`, `label` and `commands` are those of the button's definition. */
export function textButton({ id, label, commands, onInteraction }) {
  return element('button', {
    type: 'button',
    name: id,
    'data-cy': id,
    className: 'text-primary hover:text-highlight hover:bg-background h-10 rounded-lg px-2 text-sm whitespace-nowrap',
    onClick: () => onInteraction({ itemId: id, commands }),
    children: label,
  });
}
