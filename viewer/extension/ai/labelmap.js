/* What a model found, as a segmentation of the viewer that can be edited. */
import { cornerstoneLibraries } from '../cornerstone.js';

const OPAQUE = 255;

/* Draw a result over the images that it was found in, and return the id of its segmentation. */
export async function drawLabelmap(managers, displaySet, result) {
  const { segmentationService } = managers.servicesManager.services;
  const { cornerstone, cornerstoneTools } = cornerstoneLibraries(managers);
  const segmentationId = cornerstone.utilities.uuidv4();
  await segmentationService.createLabelmapForDisplaySet(displaySet, {
    segmentationId,
    label: `${result.model} ${result.version}`,
    segments: Object.fromEntries(result.labels.map((label, at) => [label.value, segmentOf(label, result, at === 0)])),
  });
  const { imageIds } = cornerstoneTools.segmentation.state.getSegmentation(segmentationId).representationData.Labelmap;
  try {
    fill(cornerstone, imageIds, result);
  } catch (error) {
    segmentationService.remove(segmentationId);
    throw error;
  }
  for (const viewportId of viewportsOf(managers, displaySet)) {
    await segmentationService.addSegmentationRepresentation(viewportId, { segmentationId });
    for (const { value, color } of result.labels) {
      segmentationService.setSegmentColor(viewportId, segmentationId, value, [...color, OPAQUE]);
    }
  }
  cornerstoneTools.segmentation.triggerSegmentationEvents.triggerSegmentationDataModified(segmentationId);
  return segmentationId;
}

/* The frame that an image is, in a form that can be compared: by its place in a list two lists need not agree. */
export function frameKey(cornerstone, imageId) {
  const { SOPInstanceUID } = cornerstone.metaData.get('instance', imageId);
  return `${SOPInstanceUID}/${imageId.match(/\/frames\/(\d+)/)?.[1] ?? 1}`;
}

function segmentOf({ name, value }, { model }, active) {
  return { segmentIndex: value, label: name, active, locked: false, algorithmType: 'AUTOMATIC', algorithmName: model };
}

function fill(cornerstone, imageIds, { labelmap, shape: [, rows, columns], slices }) {
  const places = new Map(slices.map(({ SOPInstanceUID, frame }, place) => [`${SOPInstanceUID}/${frame}`, place]));
  let filled = 0;
  for (const image of imageIds.map(imageId => cornerstone.cache.getImage(imageId))) {
    const place = places.get(frameKey(cornerstone, image.referencedImageId));
    if (place !== undefined) {
      const start = place * rows * columns;
      image.voxelManager.getScalarData().set(labelmap.subarray(start, start + rows * columns));
      filled += 1;
    }
  }
  if (filled !== slices.length) {
    throw new Error(`${slices.length - filled} of ${slices.length} slices are not in the viewer: load the page again.`);
  }
}

/* The viewports that show a series, the active one first. */
function viewportsOf({ servicesManager }, { displaySetInstanceUID }) {
  const { viewports, activeViewportId } = servicesManager.services.viewportGridService.getState();
  return [...viewports.keys()]
    .filter(id => viewports.get(id).displaySetInstanceUIDs?.includes(displaySetInstanceUID))
    .sort((one, other) => (other === activeViewportId) - (one === activeViewportId));
}
