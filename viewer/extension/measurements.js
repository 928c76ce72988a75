/* *Save measurements*: those of the active study as a DICOM SR (TID 1500), stored through STOW-RS. */
import { activeDisplaySet, dataSourceName, nextSeriesNumber } from './study.js';

const FIRST_SERIES_NUMBER = 3000; // where OHIF begins with reports

export async function saveMeasurements(managers) {
  const { servicesManager, commandsManager } = managers;
  const { StudyInstanceUID } = activeDisplaySet(managers);
  const measurements = servicesManager.services.measurementService.getMeasurements(
    measurement => measurement.referenceStudyUID === StudyInstanceUID
  );
  if (measurements.length === 0) {
    throw new Error('There are no measurements in this study.');
  }
  const report = await commandsManager.run(
    'storeMeasurements',
    {
      measurementData: measurements,
      dataSource: dataSourceName(managers),
      additionalFindingTypes: ['ArrowAnnotate'],
      options: {
        SeriesDescription: 'Measurements',
        SeriesNumber: nextSeriesNumber(managers, { StudyInstanceUID, Modality: 'SR', first: FIRST_SERIES_NUMBER }),
      },
    },
    'CORNERSTONE_STRUCTURED_REPORT'
  );
  const count = measurements.length === 1 ? 'One measurement was' : `${measurements.length} measurements were`;
  return `${count} saved as series ${report.SeriesNumber}.`;
}
