/* Cornerstone, as OHIF has loaded it: modules of our own would have caches and tools of their own. */
export function cornerstoneLibraries({ extensionManager }) {
  const { exports } = extensionManager.getModuleEntry('@ohif/extension-cornerstone.utilityModule.common');
  return exports.getCornerstoneLibraries();
}
