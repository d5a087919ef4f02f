public import Domain

/// Looks at models' files: kind, inputs and outputs. Some kinds must be loaded for that, which runs what their makers wrote: never
/// in this process, and only inside walls.
public protocol ModelReader: Sendable {
  /// Throws what the maker of the model is told.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - kind: nil where the file is to tell it.
  ///   - signature: inputs and outputs where they were given.
  func read(
    _ path: String, kind: String?, signature: (inputs: [ModelTensor], outputs: [ModelTensor])?
  ) async throws(PlatformError) -> ModelFacts
}
