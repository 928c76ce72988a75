/* The curves of a training, as they grow: loss falls, Dice rises. */
import { make } from './dom.js';

const WIDTH = 100;
const HEIGHT = 40;

export function curves(points) {
  const losses = points.map(({ loss }) => loss);
  const dices = points.map(({ dice }) => dice);
  const figure = make('div', { data: { cy: 'ai-curves' } });
  const lines = [
    line(losses, Math.max(...losses), 'ai-loss'),
    line(dices, 1, 'ai-dice'),
  ];
  figure.innerHTML = `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none">${lines.join('')}</svg>`;
  figure.append(
    make(
      'div',
      { className: 'ai-legend ai-quiet' },
      make('span', { className: 'ai-loss' }, 'loss'),
      make('span', { className: 'ai-dice' }, 'Dice, from 0 to 1')
    )
  );
  return figure;
}

function line(values, most, className) {
  const step = WIDTH / (values.length - 1);
  const points = values
    .map((value, at) => value !== null && `${(at * step).toFixed(2)},${(HEIGHT * (1 - value / most)).toFixed(2)}`)
    .filter(Boolean);
  return `<polyline class="${className}" points="${points.join(' ')}" />`;
}
