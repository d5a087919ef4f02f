public import Domain
public import DriverAPI
public import Storage

/// What users do with environments. A request is in the store before it is acknowledged; `run` makes what is asked for,
/// also what an earlier process left undone.
public actor EnvironmentService {
  /// Environments of one folder.
  public static let folderLimit = 50
  /// The name that every folder has without making it.
  public static let standardName = "default"
  public static let standardID = EnvironmentID("envdefault0000000000")

  private let world: NodeWorld
  private let maker: any EnvironmentMaker
  private let orders: AsyncStream<EnvironmentID>
  private let asked: AsyncStream<EnvironmentID>.Continuation
  private let meters = EnvironmentMeters()

  public init(world: NodeWorld, maker: any EnvironmentMaker) {
    self.world = world
    self.maker = maker
    (orders, asked) = AsyncStream.makeStream()
  }

  // MARK: Requests

  /// Checks the request, keeps it and returns the operation that makes the environment.
  public func create(
    _ request: CreateEnvironmentRequest, folder: FolderRecord, by subject: String
  ) async throws(PlatformError) -> OperationRecord {
    try ResourceName.check(request.name)
    guard request.name != Self.standardName else {
      throw .invalid(
        "name", "name: 'default' is the server's own environment; choose another name")
    }
    guard (request.description ?? "").utf8.count <= 1024 else {
      throw .invalid("description", "description: at most 1024 bytes")
    }
    if let python = request.python { try EnvironmentRequirements.checkPython(python) }
    guard (request.findLinks ?? []).count <= 20 else {
      throw .invalid("findLinks", "findLinks: at most 20 places")
    }
    let record = EnvironmentRecord(
      id: .random(), folderID: folder.id, name: request.name, status: .building,
      requestJSON: try StoredJSON.text(request), createdAt: world.now(), createdBy: subject)
    try await maker.check(try order(record))
    let operation = OperationRecord(
      id: .random(), kind: "createEnvironment", description: "Create environment \(request.name)",
      createdAt: record.createdAt, createdBy: subject, modifiedAt: record.createdAt,
      resourceID: record.id.text,
      metadataJSON: try StoredJSON.text(OperationMemo(generation: 1, folder: folder.id)))
    try await world.store.atomically { store throws(PlatformError) in
      try store.createEnvironment(record, limit: Self.folderLimit)
      try store.createOperation(operation)
    }
    asked.yield(record.id)
    return operation
  }

  private func order(_ record: EnvironmentRecord) throws(PlatformError) -> EnvironmentOrder {
    let request = try StoredJSON.value(CreateEnvironmentRequest.self, from: record.requestJSON)
    let (text, isLock) = try EnvironmentRequirements.text(request)
    return EnvironmentOrder(
      id: record.id, requirements: text, isLock: isLock, python: request.python, index: request.indexUrl,
      findLinks: request.findLinks ?? [], offline: request.offline ?? false,
      allowSource: request.allowSource ?? false, image: request.image,
      login: request.passwordSecret.map {
        RegistryAccount(
          user: request.registryUser ?? "json_key", passwordSecret: $0, folder: record.folderID)
      })
  }

  /// Deletes an environment that no node uses; one that is being made is given up.
  public func delete(_ record: EnvironmentRecord) async throws(PlatformError) {
    try await world.store.deleteEnvironment(record)
    maker.cancel(record.id)
    await maker.forget(record.id)
    await sweep()
  }

  /// Gives up an environment that is being made, and removes it; an operation that has ended is returned as it is.
  public func cancel(_ id: OperationID, of environment: EnvironmentID, by subject: String)
    async throws(PlatformError) -> OperationRecord
  {
    let now = world.now()
    let (operation, isCancelled) = try await world.store.atomically { store throws(PlatformError) in
      guard var operation = try store.operation(id) else {
        throw PlatformError(.notFound, "operation: no operation '\(id)'", origin: .caller)
      }
      guard !operation.done, let record = try store.environment(environment), record.status == .building
      else {
        return (operation, false)
      }
      try store.deleteEnvironment(record)
      operation.done = true
      operation.modifiedAt = max(now, operation.createdAt)
      operation.errorJSON = try StoredJSON.text(
        StatusResource(
          code: PlatformError.Code.cancelled.rpcCode,
          message: "cancelled by \(subject): environment '\(record.name)' is removed"))
      try store.endOperation(operation)
      return (operation, true)
    }
    guard isCancelled else { return operation }
    maker.cancel(environment)
    await maker.forget(environment)
    await sweep()
    return operation
  }

  public func log(
    of id: EnvironmentID, after cursor: String?, tail: Int
  ) async throws(PlatformError) -> LogPage { try await maker.log(of: id, after: cursor, tail: tail) }

  public func progress(of id: EnvironmentID) async -> String? { await maker.progress(of: id) }

  /// The server's own environment.
  public func standard() async throws(PlatformError) -> EnvironmentResource {
    let found = try await maker.standard()
    return EnvironmentResource(
      id: Self.standardID ?? .random(), name: Self.standardName,
      description: "the server's Python, in which nodes run that name no environment", status: .ready,
      pythonVersion: found.python, packages: found.packages, packageCount: found.packages.count)
  }

  /// - Parameter full: with packages and lock.
  public func resource(_ record: EnvironmentRecord, full: Bool) async throws(PlatformError)
    -> EnvironmentResource
  {
    let request = try StoredJSON.value(CreateEnvironmentRequest.self, from: record.requestJSON)
    var resource = EnvironmentResource(
      id: record.id, name: record.name, folderId: record.folderID, description: request.description ?? "",
      status: record.status, createdAt: record.createdAt, createdBy: record.createdBy,
      lockDigest: record.lockDigest, error: record.error)
    resource.image = request.image
    if let text = record.builtJSON {
      let built = try StoredJSON.value(BuiltEnvironment.self, from: text)
      resource.pythonVersion = built.python
      resource.packageCount = built.packages.count
      resource.sizeBytes = built.sizeBytes
      resource.image = built.image?.reference ?? resource.image
      if full {
        resource.packages = built.packages
        resource.lock = built.lock
      }
    }
    if full, request.image == nil { resource.requirements = try? EnvironmentRequirements.text(request).text }
    resource.usedBy = try await world.store.nodesUsing(record.id)
    return resource
  }

  // MARK: Making

  /// Makes what is asked for, one after another, until cancelled. Begins with what an earlier process left undone.
  public func run() async {
    await sweep()
    _ = try? await maker.standard()  // the first node doesn't wait for it
    do throws(PlatformError) {
      for record in try await world.store.environments() where record.status == .building {
        world.log(.info, "environment is made again", ["environment": record.name])
        asked.yield(record.id)
      }
    } catch { world.log(.error, "environments not looked at", ["error": error.message]) }
    for await id in orders {
      if Task.isCancelled { return }
      do throws(PlatformError) { try await make(id) } catch {
        world.log(.error, "environment not kept", ["environment": id.text, "error": error.message])
      }
    }
  }

  private func make(_ id: EnvironmentID) async throws(PlatformError) {
    guard var record = try await world.store.environment(id), record.status == .building else {
      return try await end(id, error: PlatformError(.cancelled, "the environment was deleted"))
    }
    var failure: PlatformError?
    let began = ContinuousClock.now
    defer { meters.note(record.status, ContinuousClock.now - began) }
    do throws(PlatformError) {
      let wanted = try order(record)
      let built = try await buildUntilCancelled(wanted)
      record.status = .ready
      record.lockDigest = built.digest
      record.builtJSON = try StoredJSON.text(built)
      record.error = nil
    } catch {
      // The end of the service is no failure: the next one makes it.
      if Task.isCancelled { return }
      record.status = .failed
      record.error = error.message
      failure = error
    }
    if try await world.store.updateEnvironment(record) {
      try await end(id, error: failure)
    } else {
      await maker.forget(id)
      await sweep()
      try await end(id, error: PlatformError(.cancelled, "the environment was deleted"))
    }
  }

  /// The end of the service doesn't wait for a build.
  private func buildUntilCancelled(_ order: EnvironmentOrder) async throws(PlatformError) -> BuiltEnvironment
  {
    let maker = self.maker
    let result: Result<BuiltEnvironment, PlatformError> = await withTaskCancellationHandler {
      do throws(PlatformError) { return .success(try await maker.build(order)) } catch {
        return .failure(error)
      }
    } onCancel: {
      maker.cancel(order.id)
    }
    return try result.get()
  }

  private func end(_ id: EnvironmentID, error: PlatformError?) async throws(PlatformError) {
    for var operation in try await world.store.pendingOperations(resource: id.text) {
      operation.done = true
      operation.modifiedAt = world.now()
      if let error {
        operation.errorJSON = try StoredJSON.text(
          StatusResource(code: error.code.rpcCode, message: error.message))
      }
      try await world.store.endOperation(operation)
    }
  }

  /// Prometheus text: environments by status, and what was made.
  public func metrics() async -> String {
    let statuses = (try? await world.store.environments().map(\.status)) ?? []
    return meters.text(statuses)
  }

  /// Removes files that no environment has any more.
  private func sweep() async {
    do throws(PlatformError) {
      let kept = try await world.store.environments().compactMap(\.lockDigest)
      await maker.sweep(keeping: Set(kept))
    } catch { world.log(.error, "environments not swept", ["error": error.message]) }
  }
}

/// How a checkpoint fits an environment, for nodes that are to be made of it.
struct EnvironmentFit {
  var pin: EnvironmentPin?
  /// What the caller should know though it is not refused.
  var warnings: [String]

  /// Throws what makes the node impossible: all that is missing, in one message.
  static func judge(
    _ findings: [EnvironmentFinding], pin: EnvironmentPin?, strict: Bool
  ) throws(PlatformError) -> EnvironmentFit {
    let refused = findings.filter { $0.kind == .missing || (strict && $0.kind == .differs) }
    guard refused.isEmpty else {
      throw PlatformError(
        .failedPrecondition, "environment: " + refused.map(\.message).joined(separator: "; "),
        origin: .caller, field: "environment")
    }
    return EnvironmentFit(pin: pin, warnings: findings.filter { $0.kind == .differs }.map(\.message))
  }
}

extension NodeWorld {
  /// A ready environment by id or name in a folder; throws what to do where there is none.
  func environment(_ name: String, folder: FolderID) async throws(PlatformError) -> EnvironmentRecord {
    let all = try await store.environments()
    guard
      let found = all.first(where: { $0.id.text == name })
        ?? all.first(where: { $0.name == name && $0.folderID == folder })
    else {
      throw PlatformError(
        .notFound,
        "environment: there is no '\(name)' in this folder; list them with: roost environment list",
        origin: .caller, field: "environment")
    }
    switch found.status {
    case .ready: return found
    case .building:
      throw PlatformError(
        .failedPrecondition,
        "environment: '\(found.name)' is still being made; wait for it: roost environment get \(found.name)",
        origin: .caller, field: "environment")
    case .failed:
      throw PlatformError(
        .failedPrecondition,
        "environment: '\(found.name)' could not be made (\(found.error ?? "")); see: roost environment logs \(found.name)",
        origin: .caller, field: "environment")
    }
  }

  /// Compares a manifest with an environment of the store, or with the server's own when it is nil.
  public func findings(
    _ manifest: CheckpointManifest, _ record: EnvironmentRecord?, inputs: [Variable], outputs: [Variable],
    restoresAll: Bool
  ) async throws(PlatformError) -> [EnvironmentFinding] {
    guard let environments else { return [] }
    // The worker looks there too, behind what the environment has.
    let others = (manifest.state?.sysPath ?? []).filter { path in
      !(manifest.python.prefix.map { path.hasPrefix($0) } ?? false)
    }
    let beside = others.isEmpty ? [] : await environments.packages(at: others)
    guard let record else {
      let standard: BuiltEnvironment
      do throws(PlatformError) { standard = try await environments.standard() } catch {
        // The worker checks again when it restores: no reason to refuse a node.
        log(.warn, "packages of the default environment are not known", ["error": error.message])
        return []
      }
      // Another minor version is told by the worker, with the server's own ways out.
      return EnvironmentParity(
        manifest, environment: EnvironmentService.standardName, python: nil,
        packages: standard.packages + beside
      ).findings(inputs: inputs, outputs: outputs, restoresAll: restoresAll)
    }
    let built = try StoredJSON.value(BuiltEnvironment.self, from: record.builtJSON ?? "{}")
    return EnvironmentParity(
      manifest, environment: record.name, python: built.python, packages: built.packages + beside
    ).findings(inputs: inputs, outputs: outputs, restoresAll: restoresAll)
  }
}
