/* What the panel shows. It outlives the panel, which is gone whenever another one is looked at. */
export class Store {
  constructor(state) {
    this.state = state;
    this.listeners = new Set();
  }

  set(changes) {
    this.state = { ...this.state, ...changes };
    this.listeners.forEach(listener => listener(this.state));
  }

  /* Call a function now and at every change, until the returned one is called. */
  follow(listener) {
    this.listeners.add(listener);
    listener(this.state);
    return () => this.listeners.delete(listener);
  }
}
