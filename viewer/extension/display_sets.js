/* Series that OHIF's handlers fail at, and that would leave the user with a page that waits for ever or is black. */

const guarded = new WeakSet();

/* What tells videos: the SOP classes of which there is nothing else, and how their colours are stored (PS3.3 C.7.6.3.1.2). */
const VIDEO_CLASS = /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.77\.1\.[124]\.1$/;
const VIDEO_COLOURS = 'YBR_PARTIAL_420';
/* MPEG-2 (PS3.3 C.7.6.1.1.5), which browsers do not play. */
const MPEG2 = 'ISO_13818_2';
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
  const playable = instances.filter(({ LossyImageCompressionMethod: methods }) => [methods].flat().at(-1) !== MPEG2);
  if (name === 'dicom-video') {
    return playable.filter(isVideo); // OHIF takes any secondary capture of 90 frames for one
  }
  playable
    .filter(({ ConceptNameCodeSequence }) => ConceptNameCodeSequence?.CodeValue !== MEASUREMENT_REPORT)
    .forEach(nameContent);
  return playable;
}

function isVideo({ PhotometricInterpretation, SOPClassUID }) {
  return PhotometricInterpretation === VIDEO_COLOURS || VIDEO_CLASS.test(SOPClassUID);
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
