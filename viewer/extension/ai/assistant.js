/* What the panel does: run, draw, save, train, go on. */
import { contentOf, isStored } from '../changes.js';
import { activeDisplaySet } from '../study.js';
import { drawLabelmap } from './labelmap.js';
import { Points } from './points.js';
import { rememberModel } from './provenance.js';
import { ServerError, ask, segment } from './server.js';
import { Store } from './store.js';

export const PANEL = '@pixels/extension.panelModule.assistant';

/* Milliseconds between two looks at a training, and, while none goes on, at what others do. */
const INTERVAL = 1000;
const IDLE_INTERVAL = 10_000;
/* Milliseconds that opening a study may take. */
const PATIENCE = 60_000;
const GOING_ON = ['SUBMITTED', 'RUNNING'];

export class Assistant {
  constructor(managers) {
    this.managers = managers;
    this.services = managers.servicesManager.services;
    this.points = new Points(managers);
    this.store = new Store({
      models: null, // all that the server offers, once they are known
      strategies: [],
      model: null, // the name of the chosen one
      strategy: null,
      series: null, // of the active viewport: its display set
      labelling: null, // how many series are labelled, and with what the open one is
      segmentation: null, // that is edited, and would be saved
      points: { side: null, count: 0 }, // that are set in the open series; `side` is what clicks set
      running: null, // {progress, message} of a run
      result: null, // the last one in the open series
      training: undefined, // the one that goes on, else the last one, with its curve: {epoch, loss, dice}; null if none
      waiting: 0, // trainings that come after it
      stopping: null, // id of the training that is to stop
      errors: {}, // by what failed: models, labelling, run, train, training, next
    });
    this.prompted = null; // value of the label that points show, if the model has it
    this.epochs = null; // as many as the model's configuration says
    this.goingOn = new Set(); // parts of what somebody asked for that are not done yet
  }

  get state() {
    return this.store.state;
  }

  get model() {
    return this.state.models?.find(({ name }) => name === this.state.model);
  }

  /* The value of the label that points show. */
  get promptLabel() {
    const { labels } = this.model;
    return (labels.find(({ value }) => value === this.prompted) ?? labels[0]).value;
  }

  /* Keep the state up to date while the panel is there, until the returned function is called. */
  attach() {
    const { viewportGridService, segmentationService } = this.services;
    const grid = viewportGridService.EVENTS;
    const subscriptions = [
      ...[grid.ACTIVE_VIEWPORT_ID_CHANGED, grid.GRID_STATE_CHANGED].map(event =>
        viewportGridService.subscribe(event, () => this.lookAtSeries())
      ),
      ...['SEGMENTATION_MODIFIED', 'SEGMENTATION_REMOVED', 'SEGMENTATION_REPRESENTATION_MODIFIED'].map(event =>
        segmentationService.subscribe(segmentationService.EVENTS[event], () => this.lookAtSegmentation())
      ),
      { unsubscribe: this.points.follow(() => this.lookAtPoints()) },
    ];
    this.isAttached = true;
    this.lookAtSeries();
    this.loadModels();
    this.watchTraining();
    return () => {
      this.isAttached = false;
      subscriptions.forEach(({ unsubscribe }) => unsubscribe());
      clearTimeout(this.watching);
    };
  }

  async loadModels() {
    await this.try('models', async () => {
      const { models, strategies } = kept(await ask('/models'), this.state, ['models', 'strategies']);
      const known = ({ name }) => name === this.state.model;
      const model = models.find(known) ?? models.find(({ is_ready }) => is_ready) ?? models[0];
      const strategy = this.state.strategy ?? strategies[0].name;
      this.store.set({ models, strategies, model: model?.name ?? null, strategy });
    });
    await this.countLabelled();
  }

  choose(model) {
    this.setPoints(null);
    this.store.set({ model, errors: {} });
    this.countLabelled();
  }

  lookAtSeries() {
    const series = attempt(() => activeDisplaySet(this.managers));
    if (series?.SeriesInstanceUID !== this.state.series?.SeriesInstanceUID) {
      this.cancel();
      this.store.set({ series, result: null, labelling: null, errors: {} });
      this.lookAtPoints();
      this.countLabelled();
    }
    this.lookAtSegmentation();
  }

  lookAtSegmentation() {
    const { viewportGridService, segmentationService } = this.services;
    const active = segmentationService.getActiveSegmentation(viewportGridService.getActiveViewportId());
    const { segmentationId, label } = active ?? {};
    if (segmentationId !== this.state.segmentation?.segmentationId) {
      this.store.set({ segmentation: active ? { segmentationId, label } : null });
    }
  }

  async countLabelled() {
    const { model, series } = this.state;
    if (!model || !series) {
      return;
    }
    await this.try('labelling', async () => {
      const labelling = await ask('/progress', { query: { model, series: series.SeriesInstanceUID } });
      if (model === this.state.model && series === this.state.series) {
        this.store.set(kept({ labelling }, this.state, ['labelling']));
      }
    });
  }

  /* Let clicks set points on a side of what is looked for; null, or the same once more, ends that. */
  setPoints(side) {
    const { points } = this.state;
    const next = side === points.side ? null : side;
    if (next || points.side) {
      this.points.setActive(next);
      this.store.set({ points: { ...points, side: next } });
    }
  }

  clearPoints() {
    this.points.clear(this.state.series);
  }

  lookAtPoints() {
    const { series, points } = this.state;
    const count = series ? this.points.count(series) : 0;
    const side = this.points.isActive() ? points.side : null; // another tool may have been chosen
    if (count !== points.count || side !== points.side) {
      this.store.set({ points: { side, count } });
    }
  }

  async run() {
    const { model, series, points } = this.state;
    const params = points.count ? { ...this.points.params(series), label_prompt: [this.promptLabel] } : {};
    const asked = { model, series: series.SeriesInstanceUID, params };
    const aborting = (this.aborting = new AbortController());
    const onProgress = running => {
      this.store.set({ running });
      if (!this.services.displaySetService.getDisplaySetByUID(series.displaySetInstanceUID)) {
        aborting.abort(); // its study was left
      }
    };
    onProgress({ progress: 0, message: 'starting' });
    await this.tryAnew('run', async () => {
      const result = await segment(asked, { signal: aborting.signal, onProgress });
      await this.draw(series, result);
    });
    this.store.set({ running: null });
  }

  cancel() {
    this.aborting?.abort();
  }

  /* Draw a result instead of the model's one before, unless somebody has worked on that. */
  async draw(series, result) {
    const { segmentationService } = this.services;
    const before = this.state.result;
    const segmentationId = await drawLabelmap(this.managers, series, result);
    rememberModel(segmentationId, result);
    if (before?.model === result.model && before.content === this.contentOf(before.segmentationId)) {
      segmentationService.remove(before.segmentationId);
    }
    const content = this.contentOf(segmentationId);
    this.store.set({ result: { ...result, labelmap: null, segmentationId, content } });
  }

  contentOf(segmentationId) {
    const segmentation = this.services.segmentationService.getSegmentation(segmentationId);
    return segmentation && contentOf(this.managers, segmentation);
  }

  async save() {
    await this.managers.commandsManager.run('saveSegmentation');
    await this.countLabelled();
  }

  async train(epochs) {
    await this.tryAnew('train', async () => {
      const body = { model: this.state.model, ...(epochs && { epochs }) };
      await ask('/training', { method: 'POST', body });
      await this.watchTraining();
    });
  }

  async stopTraining() {
    const { id } = this.state.training;
    await this.tryAnew('train', async () => {
      await ask('/training', { method: 'DELETE', query: { id } });
      this.store.set({ stopping: id });
    });
    await this.watchTraining();
  }

  get isTraining() {
    return GOING_ON.includes(this.state.training?.status);
  }

  /* Look at the training that goes on, which others may have started, again and again. */
  async watchTraining() {
    clearTimeout(this.watching);
    const before = this.state.training;
    await this.try('training', async () => {
      this.store.set(kept(await ask('/training'), this.state, ['training', 'waiting']));
    });
    const { training } = this.state;
    const isNew = training?.version !== before?.version || training?.status !== before?.status;
    if (before !== undefined && isNew) {
      await this.loadModels(); // there may be a new version
    }
    clearTimeout(this.watching);
    if (this.isAttached) {
      this.watching = setTimeout(() => this.lookAgain(), this.isTraining ? INTERVAL : IDLE_INTERVAL);
    }
  }

  async lookAgain() {
    if (!this.isTraining) {
      await this.countLabelled();
    }
    await this.watchTraining();
  }

  /* Open the series that is best labelled next; who leaves work behind is told, and has to ask once more. */
  async next() {
    const unsaved = this.unsaved();
    const isWarned = unsaved !== '' && unsaved === this.warnedOf;
    await this.tryAnew('next', async () => {
      this.warnedOf = isWarned ? null : unsaved;
      if (this.warnedOf) {
        throw new ServerError({ error: `${unsaved} is not saved`, remedy: 'Save it, or go on without.' });
      }
      const { model, strategy, series } = this.state;
      const besides = series && { besides: series.SeriesInstanceUID };
      const { sample } = await ask('/next', { query: { model, strategy, ...besides } });
      if (!sample) {
        throw new Error('There is no other series without a label.');
      }
      this.cancel();
      this.open(sample);
    });
  }

  /* The names of segmentations that somebody has worked on since they were loaded, found or saved. */
  unsaved() {
    const { segmentationService } = this.services;
    const { result } = this.state;
    return segmentationService
      .getSegmentations()
      .filter(segmentation => !isStored(this.managers, segmentation))
      .filter(({ segmentationId: id }) => id !== result?.segmentationId || this.contentOf(id) !== result.content)
      .map(({ label }) => label)
      .join(', ');
  }

  open({ StudyInstanceUID, SeriesInstanceUID }) {
    const { displaySetService, viewportGridService } = this.services;
    const [displaySet] = displaySetService.getDisplaySetsForSeries(SeriesInstanceUID) ?? [];
    if (displaySet) {
      viewportGridService.setDisplaySetsForViewport({
        viewportId: viewportGridService.getActiveViewportId(),
        displaySetInstanceUIDs: [displaySet.displaySetInstanceUID],
      });
      return;
    }
    const to = `/viewer?StudyInstanceUIDs=${StudyInstanceUID}&initialSeriesInstanceUID=${SeriesInstanceUID}`;
    this.managers.commandsManager.run('navigateHistory', { to });
    this.comeBack(StudyInstanceUID);
  }

  /* Open the panel again when a study has been opened: all panels are made anew, and another one is shown. */
  comeBack(study) {
    clearInterval(this.comingBack);
    const giveUp = Date.now() + PATIENCE;
    this.comingBack = setInterval(() => {
      if (Date.now() > giveUp || (this.isAttached && this.state.series?.StudyInstanceUID === study)) {
        clearInterval(this.comingBack);
      } else if (!this.isAttached) {
        this.services.panelService.activatePanel(PANEL, true);
      }
    }, INTERVAL / 5);
  }

  /* Do what somebody asked for, once for a double click: what went wrong before is not told any more. */
  async tryAnew(part, action) {
    if (!this.goingOn.has(part)) {
      this.goingOn.add(part);
      this.tellError(part, null);
      await this.try(part, action);
      this.goingOn.delete(part);
    }
  }

  /* Do something, and keep the error, if there is one, by what failed, until it works. */
  async try(part, action) {
    try {
      await action();
      this.tellError(part, null);
    } catch (error) {
      if (error.name !== 'AbortError') {
        console.error(error);
        this.tellError(part, error);
      }
    }
  }

  tellError(part, error) {
    const { errors } = this.state;
    if (errors[part]?.message !== error?.message) {
      this.store.set({ errors: { ...errors, [part]: error } });
    }
  }
}

function attempt(action) {
  try {
    return action();
  } catch {
    return null;
  }
}

/* Values by their keys, where they say the same the objects that are known: what has not changed is not drawn anew. */
function kept(values, state, keys) {
  const isSame = key => JSON.stringify(values[key]) === JSON.stringify(state[key]);
  return Object.fromEntries(keys.map(key => [key, isSame(key) ? state[key] : values[key]]));
}
