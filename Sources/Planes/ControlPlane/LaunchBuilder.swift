public import Domain
import DriverAPI
public import Storage

/// Turns a node's spec and its checkpoint into what a driver needs.
struct LaunchBuilder {
  let world: NodeWorld

  func launch(record: NodeRecord, intent: NodeIntent) async throws(PlatformError) -> NodeLaunch {
    let spec = intent.spec
    if let image = spec.image {
      let configuration = try Configuration.named(spec.configuration)
      var launch = NodeLaunch(
        node: record.id, nodeName: record.name, release: record.release, manifestPath: "", blobPaths: [],
        inputs: [], outputs: [], subnet: spec.subnet == "none" ? .none : .host,
        cpus: spec.cpus ?? configuration.cpus, memoryBytes: spec.memoryBytes ?? configuration.memoryBytes,
        pids: 4096, image: image)
      launch.gpus = configuration.gpus > 0 ? configuration.gpus : nil
      launch.placements = try await placements(spec, in: record.folderID)
      return launch
    }
    if let model = spec.model {
      let configuration = try Configuration.named(spec.configuration)
      var launch = NodeLaunch(
        node: record.id, nodeName: record.name, release: record.release, manifestPath: "",
        blobPaths: try paths(of: model.models.map(\.digest)), inputs: [], outputs: [],
        timeoutMilliseconds: UInt32(spec.timeoutSeconds * 1000),
        subnet: .init(rawValue: spec.subnet) ?? .none, cpus: spec.cpus ?? configuration.cpus,
        memoryBytes: spec.memoryBytes ?? configuration.memoryBytes, pids: model.image == nil ? 1024 : 4096,
        environment: model.environment, model: model)
      launch.gpus = configuration.gpus > 0 ? configuration.gpus : nil
      return launch
    }
    guard let cell = spec.cell else {
      // What an address node needs is its endpoint, which differs by instance.
      return NodeLaunch(
        node: record.id, nodeName: record.name, release: record.release, manifestPath: "", blobPaths: [],
        inputs: [], outputs: [])
    }
    guard let checkpoint = try await world.store.checkpoint(cell.checkpointId) else {
      throw PlatformError(.notFound, "checkpoint \(cell.checkpointId) of node '\(record.name)' is gone")
    }
    let manifest = try await CheckpointReader(store: world.store, blobs: world.blobs).manifest(of: checkpoint)
    let configuration = try Configuration.named(spec.configuration)
    return NodeLaunch(
      node: record.id, nodeName: record.name, release: record.release,
      manifestPath: try world.blobs.path(of: checkpoint.manifestDigest),
      blobPaths: try paths(of: manifest.blobs.map(\.digest)), inputs: cell.inputs,
      outputs: cell.outputs,
      isolation: .init(rawValue: cell.isolation) ?? .instance,
      timeoutMilliseconds: UInt32(spec.timeoutSeconds * 1000),
      startMode: .init(rawValue: cell.startMode) ?? .auto,
      restore: .init(rawValue: cell.restore) ?? .reachable, keepRandomState: cell.keepRandomState,
      subnet: .init(rawValue: spec.subnet) ?? .none, cpus: spec.cpus ?? configuration.cpus,
      memoryBytes: spec.memoryBytes ?? configuration.memoryBytes, checkpoint: checkpoint.label,
      warmUp: cell.warmUp.flatMap(NodeLaunch.WarmUp.init), example: cell.warmUp == nil ? nil : intent.example,
      environment: cell.environment, secrets: cell.secrets)
  }

  private func placements(_ spec: NodeSpec, in folder: FolderID) async throws(PlatformError)
    -> [LaunchPlacement]?
  {
    var result: [LaunchPlacement] = []
    for zone in spec.zones {
      var placement = LaunchPlacement(zone: zone.zone)
      if let name = zone.subnet {
        guard let subnet = try await world.store.subnet(named: name, in: folder) else {
          throw PlatformError(.notFound, "subnet '\(name)' of zone \(zone.zone) is gone")
        }
        placement.subnet = LaunchSubnet(id: subnet.id, cidr: subnet.cidr, isInternal: subnet.isInternal)
      }
      result.append(placement)
    }
    return result.isEmpty ? nil : result
  }

  private func paths(of digests: [String]) throws(PlatformError) -> [String] {
    var result: [String] = []
    for digest in digests { result.append(try world.blobs.path(of: digest)) }
    return result
  }
}

extension CheckpointRecord {
  /// How messages name it: by its name where it has one.
  var label: String { name.map { "'\($0)' (\(id))" } ?? "\(id)" }
}

/// Reads manifests of checkpoints from the blob store.
public struct CheckpointReader: Sendable {
  public let store: Store
  public let blobs: BlobStore

  public init(store: Store, blobs: BlobStore) {
    self.store = store
    self.blobs = blobs
  }

  /// Throws `dataLoss` that names the checkpoint when its manifest is missing or damaged.
  public func manifest(of checkpoint: CheckpointRecord) async throws(PlatformError) -> CheckpointManifest {
    let bytes: [UInt8]
    do throws(PlatformError) {
      bytes = try await blobs.read(checkpoint.manifestDigest, limit: 64 << 20)
    } catch  where error.code != .notFound && error.code != .dataLoss {
      // It may be there and whole: the disk or the limit of open files is to blame.
      throw PlatformError(
        error.code, "the manifest of checkpoint \(checkpoint.id) can't be read: \(error.message)",
        cause: error)
    } catch {
      throw damaged(checkpoint, error)
    }
    do throws(PlatformError) {
      return try StoredJSON.value(CheckpointManifest.self, from: bytes)
    } catch {
      throw damaged(checkpoint, error)
    }
  }

  private func damaged(_ checkpoint: CheckpointRecord, _ cause: PlatformError) -> PlatformError {
    PlatformError(
      .dataLoss,
      "the manifest of checkpoint \(checkpoint.id) is missing or damaged on disk; run the cell again to make a new one",
      cause: cause)
  }
}
