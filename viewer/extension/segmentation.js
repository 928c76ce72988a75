/* *Save segmentation*: the active segmentation as a DICOM SEG of a new series, stored through STOW-RS. */
import { activeDisplaySet, dataSourceName, nextSeriesNumber } from './study.js';

const FIRST_SERIES_NUMBER = 3100; // where OHIF begins with segmentations

export async function saveSegmentation(managers) {
  const { servicesManager, commandsManager } = managers;
  const { segmentationService, viewportGridService } = servicesManager.services;
  const segmentation = segmentationService.getActiveSegmentation(viewportGridService.getActiveViewportId());
  if (!segmentation) {
    throw new Error('There is no segmentation in the active viewport.');
  }
  const { segmentationId, label } = segmentation;
  const { StudyInstanceUID } = activeDisplaySet(managers);
  const dataSource = dataSourceName(managers);
  const { dataset } = await commandsManager.run('generateSegmentation', {
    segmentationId,
    options: {
      dataSource,
      SeriesDescription: label,
      SeriesNumber: nextSeriesNumber(managers, { StudyInstanceUID, Modality: 'SEG', first: FIRST_SERIES_NUMBER }),
    },
  });
  if (dataset.StudyID === 'No Study ID') {
    dataset.StudyID = ''; // the encoder's stand-in would contradict the study's other series
  }
  await commandsManager.run('createStoreFunction', { dataSource })(dataset, {});
  return `${label} was saved as series ${dataset.SeriesNumber}.`;
}
