/* Our OHIF mode: OHIF's basic viewer, with its tools for segmentations and two buttons that save what was drawn. */
import { PANEL } from './ai/assistant.js';
import { followSegmentations } from './changes.js';
import { guardHandlers } from './display_sets.js';
import { storeUnits, showUnits } from './measurement_units.js';
import { loadingReports } from './measurements.js';

const SEGMENTATION_TOOLS = { $reference: 'cornerstone.segmentationTools' };
const RIGHT_PANELS = [
  '@ohif/extension-cornerstone.panelModule.panelSegmentationWithToolsLabelMap',
  '@ohif/extension-cornerstone.panelModule.panelMeasurement',
  PANEL,
];
// Whole slide images need a viewer of their own, which is left out.
const LEFT_OUT = '@ohif/extension-cornerstone.sopClassHandlerModule.DicomMicroscopySopClassHandler';

const SAVE_BUTTONS = [
  { id: 'SaveMeasurements', label: 'Save measurements', commands: 'saveMeasurements' },
  { id: 'SaveSegmentation', label: 'Save segmentation', commands: 'saveSegmentation' },
].map(({ id, ...props }) => ({ id, uiType: 'pixels.textButton', props }));

/* The basic mode's layout, with panels on the right in which segmentations can be edited. */
function layout({ id, props }) {
  return { id, props: { ...props, rightPanels: RIGHT_PANELS } };
}

/* Let entries of OHIF's menus that would store something run what our buttons run: OHIF's own reports have wrong units,
   its segmentations lack what the standard demands. */
function saveFromMenus(commandsManager) {
  commandsManager.registerCommand('DEFAULT', 'promptSaveReport', {
    commandFn: options => commandsManager.run('saveMeasurements', options),
  });
  const { commandFn: storeStructures } = commandsManager.getCommand('storeSegmentation', 'CORNERSTONE');
  commandsManager.registerCommand('CORNERSTONE', 'storeSegmentation', {
    commandFn: options =>
      options.modality === 'RTSTRUCT' ? storeStructures(options) : commandsManager.run('saveSegmentation', options),
  });
}

export default {
  id: '@pixels/mode',

  async modeFactory({ loadModules }) {
    const [{ modeInstance: basic }] = await loadModules(['@ohif/mode-basic']);
    const [route] = basic.routes;
    return {
      ...basic,
      id: '@pixels/mode',
      routeName: 'viewer',
      displayName: 'View and segment',
      hide: false,
      // Instead of the basic mode's, which forbid to edit segmentations.
      modeCustomizations: {
        'studyBrowser.thumbnailDoubleClickCallback': { callbacks: { $apply: loadingReports } },
        onBeforeDicomStore: { $set: storeUnits },
        onBeforeSRHydration: { $set: { value: showUnits } },
      },
      sopClassHandlers: basic.sopClassHandlers.filter(handler => handler !== LEFT_OUT),
      toolbarButtons: [
        ...basic.toolbarButtons,
        { $reference: 'cornerstone.segmentationToolbarButtons' },
        ...SAVE_BUTTONS,
      ],
      toolbarSections: [...basic.toolbarSections, { $reference: 'cornerstone.segmentationToolbarSections' }],
      toolGroupAdditions: { ...basic.toolGroupAdditions, default: [SEGMENTATION_TOOLS], mpr: [SEGMENTATION_TOOLS] },
      routes: [{ ...route, path: 'viewer', layoutTemplate: () => layout(route.layoutInstance) }],
      onModeEnter(managers) {
        basic.onModeEnter.call(this, managers);
        guardHandlers(managers, this.sopClassHandlers);
        followSegmentations(managers);
        saveFromMenus(managers.commandsManager);
        // Sections given in `toolbarSections` replace OHIF's; this one only grows.
        const { toolbarService } = managers.servicesManager.services;
        toolbarService.updateSection(
          toolbarService.sections.primary,
          SAVE_BUTTONS.map(({ id }) => id)
        );
      },
    };
  },
};
