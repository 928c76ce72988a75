/* Series that OHIF's handlers fail at, such as structure sets without references: the study waits for them for ever. */

const guarded = new WeakSet();

/* Let a series at which its handler fails be one that is listed and cannot be shown, and tell the user. */
export function guardHandlers({ servicesManager, extensionManager }, handlerIds) {
  for (const handler of handlerIds.map(id => extensionManager.getModuleEntry(id))) {
    if (guarded.has(handler)) {
      continue;
    }
    guarded.add(handler);
    const { getDisplaySetsFromSeries } = handler;
    handler.getDisplaySetsFromSeries = instances => {
      try {
        return getDisplaySetsFromSeries(instances);
      } catch (error) {
        console.error(error);
        const [{ SeriesNumber, Modality }] = instances;
        servicesManager.services.uiNotificationService.show({
          title: 'Study',
          message: `Series ${SeriesNumber ?? ''} (${Modality}) cannot be shown.`,
          type: 'warning',
        });
        return [];
      }
    };
  }
}
