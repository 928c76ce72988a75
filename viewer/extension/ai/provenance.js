/* What a segmentation came from: who corrects what a model found, and saves it, does not hide the model. */

/* Segmentations that models made here: model and version by the viewer's id of a segmentation. */
const made = new Map();

export function rememberModel(segmentationId, { model, version, labels }) {
  const item = {
    AlgorithmFamilyCodeSequence: {
      CodeValue: '123110',
      CodingSchemeDesignator: 'DCM',
      CodeMeaning: 'Artificial Intelligence',
    },
    AlgorithmName: model,
    AlgorithmVersion: version,
    AlgorithmSource: 'Pixels',
  };
  made.set(segmentationId, new Map(labels.map(({ value }) => [value, item])));
}

/* Name in a DICOM Segmentation that is to be stored the models that its segments came from (PS3.3 C.8.20.2, and 10.16):
   a person has looked at them since, hence SEMIAUTOMATIC. */
export function keepModels({ servicesManager }, segmentationId, dataset) {
  const algorithms = made.get(segmentationId) ?? storedAlgorithms(servicesManager, segmentationId);
  for (const segment of [dataset.SegmentSequence].flat()) {
    const item = algorithms.get(Number(segment.SegmentNumber));
    if (item) {
      segment.SegmentAlgorithmType = 'SEMIAUTOMATIC';
      segment.SegmentAlgorithmName = item.AlgorithmName;
      segment.SegmentationAlgorithmIdentificationSequence = item;
    }
  }
}

/* The same of a segmentation that was loaded: its id is that of its series in the viewer. */
function storedAlgorithms({ services: { displaySetService } }, segmentationId) {
  const stored = displaySetService.getDisplaySetByUID(segmentationId)?.instance;
  const items = [stored?.SegmentSequence ?? []].flat().map(segment => [
    Number(segment.SegmentNumber),
    [segment.SegmentationAlgorithmIdentificationSequence].flat()[0],
  ]);
  return new Map(items.filter(([, item]) => item));
}
