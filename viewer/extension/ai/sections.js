/* The parts of the panel: a title, what of the state it shows, and its content. */
import { curves } from './curves.js';
import { bar, button, errorBox, make } from './dom.js';
import { INSIDE, OUTSIDE } from './points.js';

export const SECTIONS = [
  {
    title: 'Model',
    shows: ({ models, model, labelling, result, errors }) => [models, model, labelling, result, errors.models],
    content: modelContent,
  },
  {
    title: 'Points',
    shows: ({ models, model, points }) => [models, model, points],
    content: pointsContent,
  },
  {
    title: 'Segment',
    shows: ({ models, model, series, running, segmentation, errors }) => [
      ...[models, model, series, running, segmentation, errors.run],
    ],
    content: runContent,
  },
  {
    title: 'Learn',
    shows: ({ models, model, training, waiting, stopping, errors }) => [
      ...[models, model, training, waiting, stopping, errors.train, errors.training],
    ],
    content: trainContent,
  },
  {
    title: 'Next sample',
    shows: ({ models, model, strategies, strategy, labelling, errors }) => [
      ...[models, model, strategies, strategy, labelling, errors.next, errors.labelling],
    ],
    content: nextContent,
  },
];

function modelContent(assistant) {
  const { models, model: chosen, errors, labelling, result } = assistant.state;
  if (!models) {
    return [errors.models ? errorBox(errors.models) : make('p', { className: 'ai-quiet' }, 'Looking for models …')];
  }
  if (models.length === 0) {
    return [
      make('p', {}, 'There are no models yet.'),
      make('p', { className: 'ai-quiet' }, 'Get one: pixels models add, install or new.'),
    ];
  }
  const options = models.map(({ name, is_ready }) =>
    make('option', { value: name, selected: name === chosen }, is_ready ? name : `${name} (not ready)`)
  );
  const onchange = ({ target }) => assistant.choose(target.value);
  const model = assistant.model;
  return [
    make('select', { data: { cy: 'ai-model' }, ariaLabel: 'Model', onchange }, options),
    make('p', { className: 'ai-quiet' }, [model.modality, `version ${model.version}`].filter(Boolean).join(', ')),
    make(
      'div',
      { className: 'ai-labels ohif-scrollbar', data: { cy: 'ai-labels' } },
      model.labels.map(label => labelRow(label, labelling, result?.model === model.name && result.volumes_ml))
    ),
    errorBox(errors.models),
  ];
}

function labelRow({ name, color }, labelling, volumes) {
  const dot = make('span', { className: 'ai-dot' });
  dot.style.background = `rgb(${color})`;
  const isDone = labelling?.series.includes(name);
  return make(
    'div',
    { className: 'ai-row' },
    dot,
    make('span', { className: 'ai-grow', title: name }, name),
    volumes && make('span', { className: 'ai-number ai-quiet' }, `${volumes[name].toFixed(1)} ml`),
    isDone && make('span', { className: 'ai-done', title: 'In a saved segmentation of this series' }, '✓ saved')
  );
}

function runContent(assistant) {
  const { running, errors, series, segmentation } = assistant.state;
  const model = assistant.model;
  if (running) {
    return [
      bar(running.progress),
      make(
        'div',
        { className: 'ai-row' },
        make('span', { className: 'ai-grow ai-quiet', data: { cy: 'ai-progress' } }, `${running.message} …`),
        button('ai-cancel', 'Cancel', () => assistant.cancel(), { className: 'ai-second' })
      ),
    ];
  }
  return [
    make(
      'div',
      { className: 'ai-row' },
      button('ai-run', 'Run', () => assistant.run(), { disabled: !series || !model?.is_ready }),
      button('ai-save', 'Save', () => assistant.save(), {
        className: 'ai-second',
        disabled: !segmentation,
        title: 'As a label to learn from',
      })
    ),
    model && !model.is_ready && make('p', { className: 'ai-quiet' }, model.reason),
    segmentation && make('p', { className: 'ai-quiet' }, `Active segmentation: ${segmentation.label}`),
    errorBox(errors.run),
  ];
}

function pointsContent(assistant) {
  const { points } = assistant.state;
  const model = assistant.model;
  if (!model?.prompts.includes('points')) {
    return null;
  }
  const options = model.labels.map(({ name, value }) =>
    make('option', { value, selected: value === assistant.promptLabel }, name)
  );
  const onchange = ({ target }) => (assistant.prompted = Number(target.value));
  const sides = [
    [INSIDE, 'Inside'],
    [OUTSIDE, 'Outside'],
  ].map(([side, label]) =>
    button(`ai-point-${label.toLowerCase()}`, label, () => assistant.setPoints(side), {
      className: points.side === side ? 'ai-second ai-chosen' : 'ai-second',
    })
  );
  return [
    make('select', { ariaLabel: 'Label', onchange }, options),
    make(
      'div',
      { className: 'ai-row' },
      sides,
      button('ai-points-clear', 'Clear', () => assistant.clearPoints(), {
        className: 'ai-second',
        disabled: points.count === 0,
      })
    ),
    make(
      'p',
      { className: 'ai-quiet', data: { cy: 'ai-points' } },
      points.count === 0
        ? 'Without points all labels are looked for.'
        : `${points.count} ${points.count === 1 ? 'point shows' : 'points show'} where it is.`
    ),
  ];
}

function trainContent(assistant) {
  const { training, waiting, stopping, errors } = assistant.state;
  const model = assistant.model;
  const error = errorBox(errors.train ?? errors.training);
  if (assistant.isTraining) {
    const { id, model: name, status, epoch, total_epochs: total, loss, dice, details, curve } = training;
    const isStopping = id === stopping;
    const numbers = [
      isStopping && 'stopping',
      status === 'SUBMITTED' ? 'waiting' : total ? `epoch ${epoch} of ${total}` : 'starting',
      loss !== null && `loss ${loss.toFixed(3)}`,
      dice !== null && `Dice ${dice.toFixed(3)}`,
    ];
    return [
      make(
        'div',
        { className: 'ai-row' },
        make('span', { className: 'ai-grow', title: name }, `${name} learns`),
        button('ai-stop', 'Stop', () => assistant.stopTraining(), { className: 'ai-second', disabled: isStopping })
      ),
      bar(total ? epoch / total : 0),
      make('p', { className: 'ai-quiet ai-number', data: { cy: 'ai-training' } }, numbers.filter(Boolean).join(', ')),
      waiting > 0 && make('p', { className: 'ai-quiet', data: { cy: 'ai-waiting' } }, `${waiting} more to come.`),
      curve.length > 1 && curves(curve),
      details.length > 0 && make('p', { className: 'ai-quiet' }, details.at(-1)),
      error,
    ];
  }
  const epochs = make('input', {
    type: 'number',
    min: 1,
    value: assistant.epochs ?? '',
    placeholder: 'usual',
    ariaLabel: 'Epochs',
    oninput: ({ target }) => (assistant.epochs = target.valueAsNumber || null),
    data: { cy: 'ai-epochs' },
  });
  return [
    make(
      'div',
      { className: 'ai-row' },
      button('ai-train', 'Train', () => assistant.train(assistant.epochs), { disabled: !model?.is_trainable }),
      make('label', { className: 'ai-row ai-quiet' }, 'Epochs', epochs)
    ),
    model && !model.is_trainable && make('p', { className: 'ai-quiet' }, `${model.name} cannot be trained further.`),
    training && outcome(training),
    error,
  ];
}

/* What came of the last training. */
function outcome({ model, status, details, curve }) {
  const told = details.at(-1) ?? (status === 'STOPPED' ? 'Stopped.' : 'Done.');
  if (status === 'ERROR') {
    return errorBox(new Error(`The training failed. ${told}`));
  }
  return [
    curve.length > 1 && curves(curve),
    make('p', { className: 'ai-quiet', data: { cy: 'ai-outcome' } }, `${model}: ${told}`),
  ];
}

function nextContent(assistant) {
  const { strategies, strategy, labelling, errors } = assistant.state;
  const options = strategies.map(({ name, description }) =>
    make('option', { value: name, selected: name === strategy }, description)
  );
  const onchange = ({ target }) => assistant.store.set({ strategy: target.value });
  return [
    make('select', { ariaLabel: 'Strategy', data: { cy: 'ai-strategy' }, onchange }, options),
    make(
      'div',
      { className: 'ai-row' },
      button('ai-next', 'Next', () => assistant.next(), { disabled: !assistant.model }),
      labelling &&
        make(
          'span',
          { className: 'ai-quiet', data: { cy: 'ai-labelled' } },
          `${labelling.labelled} of ${labelling.total} series are labelled`
        )
    ),
    labelling && bar(labelling.total ? labelling.labelled / labelling.total : 0),
    errorBox(errors.next ?? errors.labelling),
  ];
}
