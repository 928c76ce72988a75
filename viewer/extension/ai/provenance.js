/* What segments are and came from: who corrects what a model found, and saves it, hides neither the model nor what it
   meant, as OHIF's encoder would, which calls everything tissue that was drawn by hand. */

/* Attributes of segments that models found here: by the viewer's id of a segmentation, then by their numbers. */
const found = new Map();

export function rememberModel(segmentationId, { model, version, labels }) {
  const algorithm = {
    AlgorithmFamilyCodeSequence: {
      CodeValue: '123110',
      CodingSchemeDesignator: 'DCM',
      CodeMeaning: 'Artificial Intelligence',
    },
    AlgorithmName: model,
    AlgorithmVersion: version,
    AlgorithmSource: 'Pixels',
  };
  const attributes = ({ value, codes }) => [value, { ...codes, ...madeBy(algorithm) }];
  found.set(segmentationId, new Map(labels.map(attributes)));
}

/* Describe the segments of a DICOM Segmentation that is to be stored (PS3.3 C.8.20.2) as they were when they were found
   or loaded; `numbers` are those that the viewer gives them, in order. */
export function describeSegments({ servicesManager }, segmentationId, dataset, numbers) {
  const attributes = found.get(segmentationId) ?? stored(servicesManager, segmentationId);
  [dataset.SegmentSequence].flat().forEach((segment, at) => Object.assign(segment, attributes.get(numbers[at])));
}

/* The attributes of a segmentation that was loaded: its id is that of its series in the viewer. */
function stored({ services: { displaySetService } }, segmentationId) {
  const { SegmentSequence = [] } = displaySetService.getDisplaySetByUID(segmentationId)?.instance ?? {};
  return new Map(
    [SegmentSequence].flat().map(segment => {
      const [algorithm] = [segment.SegmentationAlgorithmIdentificationSequence].flat();
      const { SegmentedPropertyCategoryCodeSequence, SegmentedPropertyTypeCodeSequence } = segment;
      const codes = { SegmentedPropertyCategoryCodeSequence, SegmentedPropertyTypeCodeSequence };
      return [Number(segment.SegmentNumber), { ...codes, ...(algorithm && madeBy(algorithm)) }];
    })
  );
}

/* A person has looked at it since, hence SEMIAUTOMATIC; the algorithm is told as PS3.3 10.16 has it. */
function madeBy(algorithm) {
  return {
    SegmentAlgorithmType: 'SEMIAUTOMATIC',
    SegmentAlgorithmName: algorithm.AlgorithmName,
    SegmentationAlgorithmIdentificationSequence: algorithm,
  };
}
