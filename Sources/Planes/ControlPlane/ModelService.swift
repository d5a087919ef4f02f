public import Domain
internal import DriverAPI
public import Storage

/// Takes saved models in.
public struct ModelService: Sendable {
  let world: NodeWorld

  public init(world: NodeWorld) { self.world = world }

  /// Registers a model whose file is uploaded, after a look at it. Acknowledged only when all of it is on disk.
  public func create(
    _ request: CreateModelRequest, project: ProjectRecord, by subject: String
  ) async throws(PlatformError) -> ModelRecord {
    try ResourceName.check(request.name)
    for (value, field) in [(request.notebook, "notebook"), (request.variable, "variable")] {
      guard let value, value.utf8.count > 1024 else { continue }
      throw .invalid(field, "\(field): at most 1024 bytes, this has \(value.utf8.count)")
    }
    guard (request.inputs ?? []).isEmpty == (request.outputs ?? []).isEmpty else {
      let lacking = (request.inputs ?? []).isEmpty ? "inputs" : "outputs"
      throw .invalid(
        lacking, "\(lacking): missing; who gives inputs gives outputs too, and the other way round")
    }
    guard let reader = world.models else {
      throw PlatformError(.failedPrecondition, "this server takes no models")
    }
    if try await world.store.model(called: request.name, in: project.id) != nil {
      throw PlatformError(
        .alreadyExists,
        "name: project '\(project.name)' has a model '\(request.name)'; delete it, or use another name",
        origin: .caller, field: "name")
    }
    guard let size = try world.blobs.size(of: request.digest) else {
      throw .invalid("digest", "digest: no file \(request.digest) was uploaded; upload it first")
    }
    let given = request.inputs.flatMap { inputs in
      inputs.isEmpty ? nil : (inputs: inputs, outputs: request.outputs ?? [])
    }
    let facts = try await reader.read(
      try world.blobs.path(of: request.digest), kind: request.kind, signature: given)
    let text = try StoredJSON.text(facts)
    let config = try await world.blobs.add(Array(text.utf8))
    let oci = try await world.blobs.writeManifest(
      config: config, layers: [OCILayer(.model, BlobReference(digest: request.digest, size: size))],
      isModel: true)
    let record = ModelRecord(
      id: .random(), projectID: project.id, name: request.name, digest: request.digest,
      configDigest: config.digest, ociDigest: oci.digest, factsJSON: text, notebook: request.notebook,
      variable: request.variable, createdAt: world.now(), createdBy: subject)
    try await world.store.addModel(record)
    return record
  }

  public func resource(_ record: ModelRecord) async throws(PlatformError) -> ModelResource {
    let facts = try StoredJSON.value(ModelFacts.self, from: record.factsJSON)
    return ModelResource(
      id: record.id, projectId: record.projectID, name: record.name, kind: facts.kind, inputs: facts.inputs,
      outputs: facts.outputs, labels: facts.labels, sizeBytes: facts.sizeBytes, digest: record.digest,
      createdAt: record.createdAt, createdBy: record.createdBy, notebook: record.notebook,
      variable: record.variable, usedBy: try await world.store.nodesServing(record.id))
  }

  /// Throws `failedPrecondition` that names the nodes which use it.
  public func delete(_ record: ModelRecord) async throws(PlatformError) {
    try await world.store.deleteModel(record.id)
  }
}

extension Store {
  /// Throws when a model was deleted since it was chosen.
  func checkModels(of spec: NodeSpec) throws(PlatformError) {
    for placed in spec.model?.models ?? [] where try model(placed.id) == nil {
      throw PlatformError(
        .aborted, "model.names: '\(placed.name)' was deleted meanwhile", origin: .caller, field: "model.names"
      )
    }
  }
}
