/* *Save measurements*: those of a study, else of the active one, as a DICOM SR (TID 1500), stored through STOW-RS; and their way back. */
import { marked } from './measurement_units.js';
import { activeDisplaySet, dataSourceName, nextSeriesNumber } from './study.js';

const FIRST_SERIES_NUMBER = 3000; // where OHIF begins with reports

export async function saveMeasurements(
  managers,
  { StudyInstanceUID = activeDisplaySet(managers).StudyInstanceUID }
) {
  const { servicesManager, commandsManager } = managers;
  const measurements = servicesManager.services.measurementService.getMeasurements(
    measurement => measurement.referenceStudyUID === StudyInstanceUID
  );
  if (measurements.length === 0) {
    throw new Error('There are no measurements in this study.');
  }
  const report = await withStatisticsOfImages(managers, measurements, () =>
    commandsManager.run(
      'storeMeasurements',
      {
        measurementData: measurements.map(marked),
        dataSource: dataSourceName(managers),
        additionalFindingTypes: ['ArrowAnnotate'],
        options: {
          SeriesDescription: 'Measurements',
          SeriesNumber: nextSeriesNumber(managers, { StudyInstanceUID, Modality: 'SR', first: FIRST_SERIES_NUMBER }),
        },
      },
      'CORNERSTONE_STRUCTURED_REPORT'
    )
  );
  const count = measurements.length === 1 ? 'One measurement was' : `${measurements.length} measurements were`;
  return `${count} saved as series ${report.SeriesNumber}.`;
}

/* Do something while measurements made in a volume have what was measured where those made in an image have it: OHIF's
   encoder of reports looks nowhere else, and leaves the value out. */
async function withStatisticsOfImages({ extensionManager }, measurements, action) {
  const { exports } = extensionManager.getModuleEntry('@ohif/extension-cornerstone.utilityModule.common');
  const { getAnnotation } = exports.getCornerstoneLibraries().cornerstoneTools.annotation.state;
  const added = measurements
    .map(({ uid }) => getAnnotation(uid))
    .map(({ metadata, data: { cachedStats = {} } }) => ({ cachedStats, key: `imageId:${metadata.referencedImageId}` }))
    .filter(({ cachedStats, key }) => !(key in cachedStats));
  added.forEach(({ cachedStats, key }) => (cachedStats[key] = Object.values(cachedStats)[0]));
  try {
    return await action();
  } finally {
    added.forEach(({ cachedStats, key }) => delete cachedStats[key]);
  }
}

/* Make of what a double click on a series does: a report's measurements become measurements to edit, on their images. */
export function loadingReports(callbacks) {
  return [
    managers => async displaySetInstanceUID => {
      if (!(await loadReport(managers, displaySetInstanceUID))) {
        for (const callback of callbacks) {
          await callback(managers)(displaySetInstanceUID);
        }
      }
    },
  ];
}

/* Load a report, once; false if the series is no report of measurements or is loaded already. */
async function loadReport({ servicesManager, commandsManager, activeViewportId: viewportId }, displaySetInstanceUID) {
  const displaySet = servicesManager.services.displaySetService.getDisplaySetByUID(displaySetInstanceUID);
  if (displaySet.Modality !== 'SR' || displaySet.isHydrated) {
    return false;
  }
  await displaySet.load();
  if (displaySet.isRehydratable) {
    await commandsManager.run('hydrateSecondaryDisplaySet', { displaySet, viewportId });
  }
  return displaySet.isHydrated;
}
