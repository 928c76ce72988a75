/* *Save segmentation*: a segmentation, if none is named the active one, as a DICOM SEG of a new series, stored through STOW-RS. */
import { describeSegments } from './ai/provenance.js';
import { isStored, noteStored } from './changes.js';
import { cornerstoneLibraries } from './cornerstone.js';
import { correctNumbers } from './segment_numbers.js';
import { activeDisplaySet, dataSourceName, nextSeriesNumber } from './study.js';

const FIRST_SERIES_NUMBER = 3100; // where OHIF begins with segmentations

export async function saveSegmentation(managers, { segmentationId: named } = {}) {
  const { servicesManager, commandsManager } = managers;
  const { segmentationService, viewportGridService } = servicesManager.services;
  const segmentation = named
    ? segmentationService.getSegmentation(named)
    : segmentationService.getActiveSegmentation(viewportGridService.getActiveViewportId());
  if (!segmentation) {
    throw new Error('There is no segmentation in the active viewport.');
  }
  const { segmentationId, label } = segmentation;
  if (isStored(managers, segmentation)) {
    throw new Error(`${label} has not changed since it was loaded or saved.`);
  }
  await loadImages(managers, segmentation);
  const { StudyInstanceUID, instances } = activeDisplaySet(managers);
  const dataSource = dataSourceName(managers);
  const { dataset } = await commandsManager.run('generateSegmentation', {
    segmentationId,
    options: {
      dataSource,
      SeriesDescription: label,
      SeriesNumber: nextSeriesNumber(managers, { StudyInstanceUID, Modality: 'SEG', first: FIRST_SERIES_NUMBER }),
    },
  });
  const numbers = correctNumbers(managers, segmentation, dataset);
  describeSegments(managers, segmentationId, dataset, numbers);
  complete(dataset, { multiFrame: instances.some(instance => instance.NumberOfFrames > 1) });
  await commandsManager.run('createStoreFunction', { dataSource })(dataset, {});
  noteStored(managers, segmentationService.getSegmentation(segmentationId));
  return `${label} was saved as series ${dataset.SeriesNumber}.`;
}

/* Load the images that nobody has looked at yet: OHIF's encoder wants all of them in its cache. */
async function loadImages(managers, { representationData: { Labelmap } }) {
  const { cache, imageLoader } = cornerstoneLibraries(managers).cornerstone;
  const imageIds = (Labelmap?.imageIds ?? []).map(id => cache.getImage(id)?.referencedImageId).filter(Boolean);
  await Promise.all(imageIds.map(id => imageLoader.loadAndCacheImage(id)));
}

/* Set what the standard demands of references to the images (PS3.3 C.7.6.16.2.6) and OHIF's encoder leaves out. */
function complete(dataset, { multiFrame }) {
  if (dataset.StudyID === 'No Study ID') {
    dataset.StudyID = ''; // the encoder's stand-in would contradict the study's other series
  }
  const sources = new Map(
    asList(dataset.ReferencedSeriesSequence)
      .flatMap(series => asList(series.ReferencedInstanceSequence))
      .map(instance => [instance.ReferencedSOPInstanceUID, instance.ReferencedSOPClassUID])
  );
  for (const frame of asList(dataset.PerFrameFunctionalGroupsSequence)) {
    for (const derivation of asList(frame.DerivationImageSequence)) {
      derivation.DerivationCodeSequence = code('113076', 'Segmentation');
      for (const source of asList(derivation.SourceImageSequence)) {
        source.ReferencedSOPClassUID = sources.get(source.ReferencedSOPInstanceUID);
        source.PurposeOfReferenceCodeSequence = code('121322', 'Source image for image processing operation');
        if (!multiFrame) {
          delete source.ReferencedFrameNumber;
        }
      }
    }
  }
}

/* The items of a sequence, which the encoder holds as a list or, if it has one, as the item. */
function asList(sequence) {
  return sequence === undefined ? [] : [sequence].flat();
}

function code(CodeValue, CodeMeaning) {
  return { CodeValue, CodingSchemeDesignator: 'DCM', CodeMeaning };
}
