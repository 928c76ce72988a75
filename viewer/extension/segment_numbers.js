/* Numbers of segments. OHIF's encoder leaves out segments without a voxel and numbers the others anew, but lets frames
   refer to the viewer's numbers: what is missing would shift the meaning of all that follows. */
import { cornerstoneLibraries } from './cornerstone.js';

/* Let frames refer to the segments that they show (PS3.3 C.8.20.3.1), and return the viewer's numbers of these, in order. */
export function correctNumbers(managers, segmentation, dataset) {
  const numbers = writtenSegments(managers, segmentation);
  for (const frame of [dataset.PerFrameFunctionalGroupsSequence].flat()) {
    const [identification] = [frame.SegmentIdentificationSequence].flat();
    const ReferencedSegmentNumber = numbers.indexOf(Number(identification.ReferencedSegmentNumber)) + 1;
    frame.SegmentIdentificationSequence = { ...identification, ReferencedSegmentNumber };
  }
  return numbers;
}

/* The viewer's numbers of the segments that have a voxel; of each labelmap in turn, as there are several where segments
   overlap. */
function writtenSegments(managers, { segments, representationData: { Labelmap } }) {
  const { cache } = cornerstoneLibraries(managers).cornerstone;
  return Object.values(Labelmap.labelmaps ?? [Labelmap]).flatMap(({ imageIds }) => {
    const present = new Set();
    for (const id of imageIds) {
      cache.getImage(id).voxelManager.getScalarData().forEach(value => present.add(value));
    }
    return [...present].filter(value => segments[value]).sort((one, other) => one - other);
  });
}
