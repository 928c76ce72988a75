/* Our OHIF extension: commands that store what was drawn, and the panel of models. The viewer loads it at run time, see
   app-config.js. */
import { assistantPanel } from './ai/panel.js';
import { saved, tellFailures } from './failures.js';
import { saveMeasurements } from './measurements.js';
import { saveSegmentation } from './segmentation.js';
import { textButton } from './text_button.js';

const goingOn = new Set();

/* Run a save, and tell the user how it went; the second click of a double click asks for nothing new. */
async function told(title, save, managers, options) {
  const { services } = managers.servicesManager;
  const { uiNotificationService } = services;
  if (goingOn.has(title)) {
    return;
  }
  goingOn.add(title);
  try {
    const message = await saved(services, () => save(managers, options));
    uiNotificationService.show({ title, message, type: 'success' });
  } catch (error) {
    console.error(error);
    uiNotificationService.show({ title, message: error.message, type: 'error', duration: 10_000 });
  } finally {
    goingOn.delete(title);
  }
}

export default {
  id: '@pixels/extension',

  preRegistration({ servicesManager }) {
    tellFailures(servicesManager.services);
  },

  getToolbarModule() {
    return [{ name: 'pixels.textButton', defaultComponent: textButton }];
  },

  getPanelModule(managers) {
    return [assistantPanel(managers)];
  },

  getCommandsModule(managers) {
    return {
      definitions: {
        saveSegmentation: { commandFn: options => told('Save segmentation', saveSegmentation, managers, options) },
        saveMeasurements: { commandFn: options => told('Save measurements', saveMeasurements, managers, options) },
      },
      defaultContext: 'DEFAULT',
    };
  },
};
