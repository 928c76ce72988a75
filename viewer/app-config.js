/* The viewer's settings: our DICOMweb server as its only source of data, our extension and mode. */
window.config = {
  name: 'Pixels',
  routerBasename: '/',
  extensions: ['/extension/extension.js'],
  modes: [
    '/extension/mode.js',
    // A mode that comes first hides OHIF's own mode of the same id. Our mode does what the first three do; the fourth
    // needs files that are left out.
    ...['longitudinal', 'basic', 'segmentation', 'microscopy'].map(name => ({
      id: `@ohif/mode-${name}`,
      modeFactory: () => null,
    })),
  ],
  customizationService: [{ 'ohif.tours': { $set: [] } }], // the library of tours is taken out, see build.py
  showStudyList: true,
  maxNumberOfWebWorkers: 3,
  showLoadingIndicator: true,
  showErrorDetails: 'always',
  showCPUFallbackMessage: true,
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  // A double click on a segmentation opens it to be edited, without a preview before.
  disableConfirmationPrompts: true,
  investigationalUseDialog: { option: 'configure', days: 90 },
  // HTTP/1.1: a browser opens six connections to a server.
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 6 },
  defaultDataSourceName: 'pixels',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'pixels',
      configuration: {
        name: 'pixels',
        friendlyName: 'Pixels',
        qidoRoot: '/dicom-web',
        wadoRoot: '/dicom-web',
        wadoUriRoot: '/dicom-web/wado',
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: true,
        supportsWildcard: true,
        supportsReject: false,
        supportsStow: true,
        dicomUploadEnabled: true,
        enableStudyLazyLoad: true,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        omitQuotationForMultipartRequest: true,
        bulkDataURI: { enabled: true },
        // One bit a voxel, uncompressed: every DICOM toolkit reads it, which cannot be said of OHIF's default,
        // label maps in RLE.
        segmentation: { store: { defaultMode: 'bitmap', transferSyntaxUID: '1.2.840.10008.1.2.1' } },
      },
    },
  ],
  // The extension tells the user, see failures.js.
  httpErrorHandler: error => window.dispatchEvent(new CustomEvent('request-failed', { detail: error })),
};
