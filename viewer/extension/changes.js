/* Which segmentations are as they are stored, so that another copy of them would say nothing new. */

const stored = new Map(); // what was loaded or saved last of a segmentation, by its identifier

/* Begin to notice what is loaded. */
export function followSegmentations(managers) {
  const { segmentationService, displaySetService } = managers.servicesManager.services;
  segmentationService.subscribe(segmentationService.EVENTS.SEGMENTATION_ADDED, ({ segmentationId }) => {
    const displaySet = displaySetService.getDisplaySetByUID(segmentationId);
    // What was drawn here has no instance. What a model proposes becomes final when a person saves it, changed or not.
    if (displaySet?.instance && !isProposal(displaySet)) {
      noteStored(managers, segmentationService.getSegmentation(segmentationId));
    }
  });
}

/* Remember that a segmentation is stored as it is. */
export function noteStored(managers, segmentation) {
  stored.set(segmentation.segmentationId, contentOf(managers, segmentation));
}

/* Tell whether a segmentation is stored as it is. */
export function isStored(managers, segmentation) {
  return stored.get(segmentation.segmentationId) === contentOf(managers, segmentation);
}

function isProposal({ instance }) {
  return [instance.SegmentSequence].flat().some(segment => segment?.SegmentAlgorithmType === 'AUTOMATIC');
}

/* The names of a segmentation and its segments, and a hash of its voxels. */
export function contentOf({ extensionManager }, { label, segments, representationData: { Labelmap } }) {
  const { exports } = extensionManager.getModuleEntry('@ohif/extension-cornerstone.utilityModule.common');
  const { cache } = exports.getCornerstoneLibraries().cornerstone;
  // Segments that overlap are in several labelmaps.
  const imageIds = Object.values(Labelmap?.labelmaps ?? [Labelmap]).flatMap(labelmap => labelmap?.imageIds ?? []);
  const hash = imageIds.reduce((sum, id) => hashed(cache.getImage(id)?.voxelManager.getScalarData() ?? [], sum), 0);
  const names = Object.values(segments).map(({ segmentIndex, label }) => [segmentIndex, label]);
  return JSON.stringify([label, names, hash]);
}

function hashed(values, hash) {
  for (let place = 0; place < values.length; place++) {
    if (values[place]) {
      hash = Math.imul(hash ^ place, 16777619) ^ values[place];
    }
  }
  return Math.imul(hash ^ values.length, 16777619);
}
