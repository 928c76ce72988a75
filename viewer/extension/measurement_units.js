/* Units of measurements: OHIF's encoder of reports writes millimetres where the viewer shows something else. */

/* How the viewer writes the unit of a length, and what it and its square are in UCUM (PS3.16 CID 7460 and 7461, and
   section 7.2.2 for what is counted; an area in pixels is their number). */
const UNITS = {
  mm: { length: code('mm', 'millimeter'), area: code('mm2', 'square millimeter') },
  cm: { length: code('cm', 'centimeter'), area: code('cm2', 'square centimeter') },
  px: { length: code('{pixels}', 'pixels'), area: code('{pixels}', 'pixels') },
};
const NO_UNITS = code('1', 'no units');

/* Codes of what the encoder writes: Length, Long Axis, Short Axis, Perimeter, Radius; Area; and what all are in. */
const LENGTHS = new Set(['410668003', '103339001', '103340004', '131191004', '131190003']);
const AREA = '42798000';
const IMAGING_MEASUREMENTS = '126010';

/* The coding scheme of the finding site that carries a measurement's identifier through the encoder, which drops it. */
const MARK = 'MEASUREMENT';

/* Let a measurement be recognized in the report that is made of it. */
export function marked(measurement) {
  const mark = { CodeValue: measurement.uid, CodingSchemeDesignator: MARK, CodeMeaning: MARK };
  return { ...measurement, findingSites: [...(measurement.findingSites ?? []), mark] };
}

/* Before a report is stored: write the units that the viewer shows (OHIF's hook `onBeforeDicomStore`). */
export function storeUnits({ dicomDict, measurementData, naturalizedReport }) {
  const measurements = naturalizedReport.ContentSequence.find(
    ({ ConceptNameCodeSequence }) => ConceptNameCodeSequence.CodeValue === IMAGING_MEASUREMENTS
  );
  for (const group of measurements.ContentSequence) {
    const mark = group.ContentSequence.find(item => item.ConceptCodeSequence?.CodingSchemeDesignator === MARK);
    const { data } = measurementData.find(({ uid }) => uid === mark.ConceptCodeSequence.CodeValue);
    // The mean of a colour is none of one value, as there has to be (PS3.3 C.18.1).
    group.ContentSequence = group.ContentSequence.filter(
      item => item !== mark && !Array.isArray(item.MeasuredValueSequence?.NumericValue)
    );
    for (const item of group.ContentSequence.filter(({ ValueType }) => ValueType === 'NUM')) {
      correctUnit(item, data);
    }
  }
  return dicomDict;
}

function correctUnit({ ConceptNameCodeSequence: { CodeValue }, MeasuredValueSequence: measured }, data) {
  if (LENGTHS.has(CodeValue)) {
    measured.MeasurementUnitsCodeSequence = unitsOf(data).length;
  } else if (CodeValue === AREA) {
    measured.MeasurementUnitsCodeSequence = unitsOf(data).area;
  } else if (measured.MeasurementUnitsCodeSequence.CodeValue === NO_UNITS.CodeValue) {
    measured.MeasurementUnitsCodeSequence = NO_UNITS; // which the encoder calls pixels
  }
}

/* The units of what was measured; the viewer shows them as "cm US Region" or "mm² User". */
function unitsOf(data) {
  const { unit, radiusUnit, areaUnit } = Object.values(data)[0];
  const [shown] = (unit ?? radiusUnit ?? areaUnit).split(' ');
  const units = UNITS[shown.replace('²', '')];
  if (!units) {
    throw new Error(`A measurement in ${shown} cannot be saved: delete it, or measure where the image has a scale.`);
  }
  return units;
}

/* Before a report's measurements are shown: write units as the viewer does (OHIF's hook `onBeforeSRHydration`). */
export function showUnits({ storedMeasurementByAnnotationType }) {
  for (const { annotation } of Object.values(storedMeasurementByAnnotationType).flat()) {
    for (const stats of Object.values(annotation.data.cachedStats ?? {})) {
      for (const name of Object.keys(stats).filter(name => name.toLowerCase().endsWith('unit'))) {
        stats[name] = shownAs(stats[name], name === 'areaUnit' ? 'area' : 'length');
      }
    }
  }
  return storedMeasurementByAnnotationType;
}

function shownAs(stored, kind) {
  const found = Object.entries(UNITS).find(([, units]) => units[kind].CodeValue === stored);
  return found ? found[0] + (kind === 'area' ? '²' : '') : stored;
}

function code(CodeValue, CodeMeaning) {
  return { CodeValue, CodingSchemeDesignator: 'UCUM', CodeMeaning };
}
