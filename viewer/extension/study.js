/* What both kinds of saving ask of the open study. */

/* The image series of the active viewport; its overlays, such as a segmentation, come after it. */
export function activeDisplaySet({ servicesManager }) {
  const { viewportGridService, displaySetService } = servicesManager.services;
  const { viewports, activeViewportId } = viewportGridService.getState();
  const uid = viewports.get(activeViewportId)?.displaySetInstanceUIDs?.[0];
  const displaySet = uid && displaySetService.getDisplaySetByUID(uid);
  if (!displaySet) {
    throw new Error('There is no image in the active viewport.');
  }
  return displaySet;
}

/* The number after the highest that the study's series of a modality have, at least `first`. */
export function nextSeriesNumber({ servicesManager }, { StudyInstanceUID, Modality, first }) {
  const numbers = servicesManager.services.displaySetService
    .getActiveDisplaySets()
    .filter(other => other.StudyInstanceUID === StudyInstanceUID && other.Modality === Modality)
    .map(other => Number(other.SeriesNumber) + 1)
    .filter(Number.isFinite);
  return Math.max(first, ...numbers);
}

/* The name of the data source that the study came from. */
export function dataSourceName({ extensionManager }) {
  return extensionManager.getActiveDataSourceDefinition().sourceName;
}
