/* Series that OHIF's handlers fail at, and that would leave the user with a page that waits for ever or is black. */

const guarded = new WeakSet();

/* MPEG-4 and HEVC (PS3.5 8.2.7 to 8.2.11), and the SOP classes of which there are videos only. */
const VIDEO_SYNTAX = /^1\.2\.840\.10008\.1\.2\.4\.10[2-8]$/;
const VIDEO_CLASS = /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.77\.1\.[124]\.1$/;
/* Imaging Measurement Report (PS3.16 TID 1500): OHIF shows its measurements on the images, not its text. */
const MEASUREMENT_REPORT = '126000';

/* Correct what handlers get, and let a series at which its handler fails be one that is listed and cannot be shown. */
export function guardHandlers({ servicesManager, extensionManager }, handlerIds) {
  for (const handler of handlerIds.map(id => extensionManager.getModuleEntry(id))) {
    if (guarded.has(handler)) {
      continue;
    }
    guarded.add(handler);
    const { getDisplaySetsFromSeries } = handler;
    handler.getDisplaySetsFromSeries = instances => {
      try {
        return getDisplaySetsFromSeries(corrected(instances, handler));
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

function corrected(instances, { name }) {
  if (name === 'dicom-video') {
    return instances.filter(isVideo); // OHIF takes any secondary capture of 90 frames for one
  }
  instances
    .filter(({ ConceptNameCodeSequence }) => ConceptNameCodeSequence?.CodeValue !== MEASUREMENT_REPORT)
    .forEach(nameContent);
  return instances;
}

function isVideo({ AvailableTransferSyntaxUID, TransferSyntaxUID, SOPClassUID }) {
  return VIDEO_SYNTAX.test(AvailableTransferSyntaxUID ?? TransferSyntaxUID) || VIDEO_CLASS.test(SOPClassUID);
}

/* Give the content items of a report the names and units that may be missing, and that its page is drawn with. */
function nameContent({ ContentSequence }) {
  for (const item of [ContentSequence ?? []].flat()) {
    item.ConceptNameCodeSequence ??= { CodeValue: '', CodeMeaning: item.ValueType };
    for (const measured of [item.MeasuredValueSequence ?? []].flat()) {
      measured.MeasurementUnitsCodeSequence ??= { CodeValue: '' };
    }
    nameContent(item);
  }
}
