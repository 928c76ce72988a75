/* Make a React element by hand, for OHIF does not hand out the React that it has in it. */
export function reactElement(type, { ref = null, ...props }) {
  return { $$typeof: Symbol.for('react.element'), type, key: null, ref, props, _owner: null };
}
