import Domain
import DriverAPI
import Synchronization

/// The sizes that an instance's files are held to.
struct InstanceDisks: Sendable, Equatable {
  /// Most bytes of the container's own files; nil: no limit.
  var rootBytes: Int64?
  /// Of the instance's volume.
  var volumeOptions: [String: String] = [:]
  /// What is not enforced (`disk`, `root`), with the reason; nil: there is nothing to enforce.
  var unlimited: [String: String]?
}

/// Whether the storage of an engine may know sizes of containers' own files. That it does is tried.
enum RootStorage: Equatable {
  /// - Parameter countsImage: the size is that of all files, those of the image too.
  case perhaps(countsImage: Bool)
  case never(String)

  init(_ info: EngineInfo) {
    let driver = info.Driver ?? ""
    func status(_ name: String) -> String? {
      info.DriverStatus?.first { $0.first?.lowercased() == name && $0.count == 2 }?[1]
    }
    if status("driver-type")?.contains("snapshotter") == true {
      self = .never(
        "images are kept by containerd (snapshotter \(driver)), which knows no sizes of containers")
      return
    }
    switch driver {
    case "btrfs": self = .perhaps(countsImage: true)
    case "zfs", "vfs": self = .perhaps(countsImage: false)
    case "overlay2", "overlay":
      let below = status("backing filesystem") ?? "an unknown file system"
      self =
        below == "xfs"
        ? .perhaps(countsImage: false)
        : .never("storage driver \(driver) on \(below) knows no sizes of containers")
    default: self = .never("storage driver \(driver) knows no sizes of containers")
    }
  }
}

extension ImageDriver {
  /// The engine tells only when it is asked for a size whether it knows any: a volume and a container of no use are
  /// made, and removed.
  func tryDisks(
    _ launch: NodeLaunch, _ source: ImageSource, _ prepared: PreparedImage, _ info: EngineInfo, isPodman: Bool
  ) async throws(EngineError) -> InstanceDisks {
    var disks = InstanceDisks()
    if let size = source.diskGigabytes {
      disks.unlimited = [:]
      let bytes = Int64(size) << 30
      let options = isPodman ? ["o": "size=\(bytes)"] : ["size": String(bytes)]
      let refusal = try await volumeRefusal(options, launch)
      if refusal == nil { disks.volumeOptions = options }
      learn("disk", refusal, &disks)
    }
    if !source.readOnlyRoot {
      disks.unlimited = disks.unlimited ?? [:]
      var bytes = Int64(source.rootDiskGigabytes ?? ImageSource.usualRootDiskGigabytes) << 30
      var refusal: String?
      switch RootStorage(info) {
      case .never(let reason): refusal = reason
      case .perhaps(let countsImage):
        if countsImage { bytes += prepared.bytes }
        refusal = try await rootRefusal(bytes, launch, image: prepared.pinned)
      }
      if refusal == nil { disks.rootBytes = bytes }
      learn("root", refusal, &disks)
    }
    for (limit, reason) in (disks.unlimited ?? [:]).sorted(by: { $0.key < $1.key }) {
      let what = limit == "disk" ? source.diskPath : "an instance's own files"
      note(launch, "the size of \(what) is not enforced: \(reason)")
    }
    return disks
  }

  /// What a trial left that was cut short.
  func removeTrials(_ node: NodeID) async throws(EngineError) {
    try await engine.remove(ContainerPlan.trial(node))
    try await engine.removeVolume(ContainerPlan.trial(node))
  }

  private func learn(_ limit: String, _ refusal: String?, _ disks: inout InstanceDisks) {
    disks.unlimited?[limit] = refusal
    state.withLock { $0.diskTrials[limit] = .some(refusal) }
  }

  /// Why volumes can't have a size; nil: they can.
  private func volumeRefusal(
    _ options: [String: String], _ launch: NodeLaunch
  ) async throws(EngineError) -> String? {
    let name = ContainerPlan.trial(launch.node)
    // One of a trial that was cut short would be taken as it is.
    try await engine.removeVolume(name)
    do throws(EngineError) {
      try await engine.createVolume(
        name, options: options, labels: ContainerPlan.labels(launch, owner: owner))
    } catch {
      guard case .refused = error.kind else { throw error }
      return
        "volumes have sizes only where the engine's folder is on a file system with project quotas (XFS mounted with pquota); it said: \(error.message)"
    }
    try await engine.removeVolume(name)
    return nil
  }

  /// Why containers of this image can't have a size; nil: they can.
  private func rootRefusal(
    _ bytes: Int64, _ launch: NodeLaunch, image: String
  ) async throws(EngineError) -> String? {
    let name = ContainerPlan.trial(launch.node)
    try await engine.remove(name)
    let body = ContainerBody(
      Hostname: "trial", Env: [], Image: image, Cmd: ["true"],
      Labels: ContainerPlan.labels(launch, owner: owner),
      ExposedPorts: [:], StopTimeout: 1,
      HostConfig: .init(
        NanoCpus: 0, Memory: 0, MemorySwap: 0, PidsLimit: 1, ReadonlyRootfs: false, CapAdd: [], Tmpfs: [:],
        ShmSize: 0, NetworkMode: "none", Mounts: [], StorageOpt: ["size": String(bytes)]))
    do throws(EngineError) { _ = try await engine.create(name, body) } catch {
      guard case .refused = error.kind else { throw error }
      let said = error.message.lowercased()
      guard ["storage-opt", "storage option", "quota", "qgroup"].contains(where: { said.contains($0) }) else {
        // Of another kind: the instance's own start meets it, and has words for it.
        return nil
      }
      return "the engine said: \(error.message)"
    }
    try await engine.remove(name)
    return nil
  }
}

extension [String: String] {
  /// With one more reason for a limit that is not enforced.
  func adding(_ reason: String, to limit: String, zone: String?) -> [String: String] {
    var result = self
    let said = zone.map { "zone \($0): \(reason)" } ?? reason
    result[limit] = result[limit].map { "\($0); \(said)" } ?? said
    return result
  }
}
