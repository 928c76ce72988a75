/* Points for models that take them: set by clicks with a tool of the viewer's own kind, told as voxels. */
import { cornerstoneLibraries } from '../cornerstone.js';

const TOOL = 'PixelsPoint';
const USUAL_TOOL = 'WindowLevel';

/* Labels of points, as they are drawn: inside of what is looked for, or outside. */
export const INSIDE = '+';
export const OUTSIDE = '−';

export class Points {
  constructor(managers) {
    this.managers = managers;
    this.side = INSIDE;
  }

  /* Let clicks in the images set points, inside or outside; null lets them do what is usual. */
  setActive(side) {
    this.#addTool();
    this.side = side ?? this.side;
    this.managers.commandsManager.run('setToolActiveToolbar', { toolName: side ? TOOL : USUAL_TOOL });
  }

  isActive() {
    const { toolGroupService } = this.managers.servicesManager.services;
    const groups = toolGroupService.getToolGroupIds().map(id => toolGroupService.getToolGroup(id));
    return groups.some(group => group.getActivePrimaryMouseButtonTool() === TOOL);
  }

  /* The points in a series, as parameters of a model: voxels (column, row, slice), and 1 inside, 0 outside. */
  params(displaySet) {
    const toVoxel = voxels(cornerstoneLibraries(this.managers).cornerstone, displaySet);
    const set = this.#annotations(displaySet);
    return {
      points: set.map(({ data }) => toVoxel(data.handles.points[0])),
      point_labels: set.map(({ data }) => Number(data.label === INSIDE)),
    };
  }

  count(displaySet) {
    return this.#annotations(displaySet).length;
  }

  clear(displaySet) {
    const { annotation } = cornerstoneLibraries(this.managers).cornerstoneTools;
    this.#annotations(displaySet).forEach(({ annotationUID }) => annotation.state.removeAnnotation(annotationUID));
    this.managers.servicesManager.services.cornerstoneViewportService.getRenderingEngine()?.render();
  }

  /* Call a function whenever points, or tools, come and go, until the returned one is called. */
  follow(listener) {
    const { cornerstone, cornerstoneTools } = cornerstoneLibraries(this.managers);
    const all = cornerstoneTools.Enums.Events;
    const events = [all.ANNOTATION_ADDED, all.ANNOTATION_COMPLETED, all.ANNOTATION_REMOVED, all.TOOL_ACTIVATED];
    events.forEach(name => cornerstone.eventTarget.addEventListener(name, listener));
    return () => events.forEach(name => cornerstone.eventTarget.removeEventListener(name, listener));
  }

  #annotations({ instances: [{ FrameOfReferenceUID }] }) {
    const { annotation } = cornerstoneLibraries(this.managers).cornerstoneTools;
    return annotation.state
      .getAllAnnotations()
      .filter(({ metadata }) => metadata.toolName === TOOL && metadata.FrameOfReferenceUID === FrameOfReferenceUID);
  }

  #addTool() {
    const { toolGroupService } = this.managers.servicesManager.services;
    const { cornerstoneTools } = cornerstoneLibraries(this.managers);
    if (!cornerstoneTools.state.tools[TOOL]) {
      cornerstoneTools.addTool(pointTool(cornerstoneTools, this));
    }
    for (const id of toolGroupService.getToolGroupIds()) {
      const group = toolGroupService.getToolGroup(id);
      if (!group.hasTool(TOOL)) {
        group.addTool(TOOL, { getTextLines: ({ label }) => [label] });
      }
    }
  }
}

function pointTool({ ProbeTool }, points) {
  return class extends ProbeTool {
    static toolName = TOOL;

    constructor(...properties) {
      super(...properties);
      const add = this.addNewAnnotation;
      this.addNewAnnotation = event => {
        const annotation = add(event);
        annotation.data.label = points.side;
        return annotation;
      };
    }
  };
}

/* A function from millimetres in the patient to a voxel of a series as the server counts: slices along the normal of
   the planes, each place once. */
function voxels(cornerstone, { imageIds }) {
  const planes = imageIds.map(imageId => cornerstone.metaData.get('imagePlaneModule', imageId));
  const { rowCosines, columnCosines, rowPixelSpacing, columnPixelSpacing, imagePositionPatient: origin } = planes[0];
  const normal = cross(rowCosines, columnCosines);
  const heights = planes.map(({ imagePositionPatient }) => dot(imagePositionPatient, normal)).sort((a, b) => a - b);
  const places = heights.filter((height, at) => at === 0 || height - heights[at - 1] > 1e-3);
  return point => {
    const offset = point.map((value, axis) => value - origin[axis]);
    const height = dot(point, normal);
    const distances = places.map(place => Math.abs(place - height));
    return [
      Math.round(dot(offset, rowCosines) / columnPixelSpacing),
      Math.round(dot(offset, columnCosines) / rowPixelSpacing),
      distances.indexOf(Math.min(...distances)),
    ];
  };
}

function dot(a, b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function cross([ax, ay, az], [bx, by, bz]) {
  return [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx];
}
