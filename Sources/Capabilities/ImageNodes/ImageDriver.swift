public import Domain
public import DriverAPI
import FoundationEssentials
import Sandboxing
import Synchronization

/// Runs the instances of image nodes: a container each, in a network of the node's own.
///
/// Containers outlive this object and its process; their names and labels tell whose they are. Only `run` looks at the engine
/// by itself: it reports containers that end, keeps their logs, and knows whether the engine is there.
public final class ImageDriver: InstanceDriver {
  let configuration: ImageDriverConfiguration
  let engine: EngineClient
  let owner: String
  let state = Mutex(State())
  let reports: AsyncStream<InstanceExit>.Continuation
  /// Containers whose logs are to be followed.
  let followings: AsyncStream<InstanceID>.Continuation
  private let stream: AsyncStream<InstanceExit>
  let toFollow: AsyncStream<InstanceID>
  /// A look for networks of subnets that are no more: what is asked for meanwhile is one more.
  private let sweeps: AsyncStream<Void>.Continuation
  let toSweep: AsyncStream<Void>

  struct State: Sendable {
    var containers: [InstanceID: KnownContainer] = [:]
    var prepared: [HostName: PreparedImage] = [:]
    var progress: [NodeID: String] = [:]
    /// Why the engine can't be worked with, and since when.
    var trouble: EngineTrouble?
    var machine: DriverZone.Machine?
    /// Whether sizes of volumes (`disk`) and of containers' own files (`root`) are enforced: nil, or why not.
    var diskTrials: [String: String?] = [:]
  }

  private let claims: EngineClaims

  /// Sizes of disks are among them once a node with one was made ready.
  public var capabilities: DriverCapabilities {
    let disks = state.withLock { $0.diskTrials }
    return DriverCapabilities(
      enforced: ["cpu", "filesystem", "memory", "network", "pids", "syscalls"]
        + disks.filter { $0.value == nil }.keys.sorted(),
      missing: disks.compactMapValues { $0 })
  }

  public convenience init(configuration: ImageDriverConfiguration) {
    self.init(configuration: configuration, claims: EngineClaims())
  }

  init(configuration: ImageDriverConfiguration, claims: EngineClaims) {
    self.claims = claims
    self.configuration = configuration
    engine = EngineClient(socket: configuration.socket)
    owner = configuration.owner
    (stream, reports) = AsyncStream.makeStream(of: InstanceExit.self)
    (toFollow, followings) = AsyncStream.makeStream(of: InstanceID.self)
    (toSweep, sweeps) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
  }

  public func exits() -> AsyncStream<InstanceExit> { stream }

  /// Lets go of all containers without ending them, as the end of the process would.
  public func close() {
    reports.finish()
    followings.finish()
    sweeps.finish()
  }

  public func trouble() async -> String? { troubleNow }

  var zone: String { configuration.zone }
  var troubleNow: String? { state.withLock { $0.trouble?.message } }
  func isPrepared(_ host: HostName) -> Bool { state.withLock { $0.prepared[host] != nil } }

  /// What is known of the zone without asking.
  var seen: DriverZone {
    state.withLock {
      DriverZone(
        name: zone, endpoint: configuration.socket, trouble: $0.trouble?.message, since: $0.trouble?.since,
        machine: $0.machine)
    }
  }

  /// What the engine says of its machine. Throws when it is another zone's.
  @discardableResult
  func meet() async throws(EngineError) -> EngineInfo {
    let info = try await engine.info()
    // Engines of one machine may have one id; that each has a folder of its own is sure.
    let name = "\(info.ID ?? "") \(info.DockerRootDir ?? "")"
    if name != " ", let other = claims.claim(name, for: zone) {
      throw EngineError(
        .malformed, "the engine at \(configuration.socket) is that of zone \(other); give each zone its own")
    }
    state.withLock {
      $0.machine = DriverZone.Machine(
        version: info.ServerVersion ?? "", cpus: info.NCPU, memoryBytes: info.MemTotal,
        storageDriver: info.Driver ?? "")
    }
    return info
  }

  public func progress(of node: NodeID) async -> String? { state.withLock { $0.progress[node] } }

  // MARK: Hosts: the image and the network of a release

  public func prepare(_ launch: NodeLaunch) async throws(DriverFailure) -> HostReport {
    let began = ContinuousClock.now
    let words = ImageWords(launch: launch, now: configuration.now)
    guard let source = launch.image else { throw words.failure(.launch, .missing, "the node has no image") }
    defer { state.withLock { $0.progress[launch.node] = nil } }
    let prepared: PreparedImage
    do throws(EngineError) {
      prepared = try await bringUp(launch, source, words)
    } catch {
      throw words.launch(error, doing: "preparing image \(source.reference)")
    }
    switch prepared.refusal {
    case .some(let refusal): throw refusal
    case nil: break
    }
    state.withLock { $0.prepared[HostName(launch.node, launch.release)] = prepared }
    let took = (ContinuousClock.now - began) / .seconds(1)
    return HostReport(
      pid: 0, mode: "container", modeReason: prepared.pinned, restoreSeconds: took,
      warnings: prepared.warnings, unlimited: prepared.disks.unlimited)
  }

  private func bringUp(
    _ launch: NodeLaunch, _ source: ImageSource, _ words: ImageWords
  ) async throws(EngineError) -> PreparedImage {
    let ping = try await engine.ping()
    let info = try await meet()
    var prepared = try await obtain(launch, source, words, isPodman: ping.isPodman)
    if prepared.refusal != nil { return prepared }
    prepared.cpus = max(1, info.NCPU)
    prepared.userBase = ContainerUser.base(info)
    let machine = Self.architecture(info.Architecture ?? "")
    if !prepared.architecture.isEmpty, !machine.isEmpty, prepared.architecture != machine {
      prepared.refusal = words.failure(
        .launch, .refused,
        "image \(source.reference) is made for \(prepared.architecture), this machine is \(machine); give an image for \(machine)"
      )
      return prepared
    }
    prepared.disks = try await tryDisks(launch, source, prepared, info, isPodman: ping.isPodman)
    try await makeNetwork(launch)
    try await removeStrangers(of: launch)
    return prepared
  }

  /// As images call it.
  private static func architecture(_ machine: String) -> String {
    ["x86_64": "amd64", "aarch64": "arm64"][machine] ?? machine
  }

  private func makeNetwork(_ launch: NodeLaunch) async throws(EngineError) {
    if let subnet = subnet(of: launch) { return try await makeSubnet(subnet) }
    let name = ContainerPlan.network(launch.node)
    let isInternal = launch.subnet == .none
    if let there = try await engine.network(name) {
      if there.Internal ?? false == isInternal { return }
      try await engine.removeNetwork(name)
    }
    let candidates = configuration.network.candidates(
      for: launch.node, place: configuration.place, of: configuration.zoneCount
    ).compactMap { SubnetRange($0) }
    var last = EngineError(
      .occupied,
      "no range is left for the node's network: all \(candidates.count) that were tried are in use on this machine; remove networks that nobody needs (docker network prune), or give another pool: roost serve --node-networks ADDRESS/BITS"
    )
    for range in MachineRoutes.current().usable(candidates) {
      do throws(EngineError) {
        try await engine.createNetwork(
          name, subnet: range.description, isInternal: isInternal,
          labels: ContainerPlan.labels(launch, owner: owner))
      } catch {
        guard error.message.lowercased().contains("overlap") else { throw error }
        last = error
        continue
      }
      // Another engine may have taken it since it was looked for.
      if MachineRoutes.current().conflicts(with: range).count < 2 { return }
      try await engine.removeNetwork(name)
    }
    throw last
  }

  /// The network that instances of a node share with others in this zone; nil: they have one of the node's own.
  func subnet(of launch: NodeLaunch) -> LaunchSubnet? {
    launch.placements?.first { $0.zone == zone }?.subnet
  }

  private func makeSubnet(_ subnet: LaunchSubnet) async throws(EngineError) {
    let name = ContainerPlan.network(subnet.id)
    if try await engine.network(name) != nil { return }
    let range = SubnetRange(subnet.cidr)
    func conflict() -> MachineRoutes.Route? {
      range.flatMap { MachineRoutes.current().conflicts(with: $0).first }
    }
    // It may be that of a subnet deleted a moment ago.
    if conflict() != nil { try await removeFormerSubnets() }
    if let other = conflict() {
      throw EngineError(
        .occupied,
        "subnet \(subnet.cidr): interface \(other.interface) of this machine has \(other.range) already; remove that interface, or give the node a subnet of another range (roost subnet create NAME --cidr RANGE)"
      )
    }
    do throws(EngineError) {
      try await engine.createNetwork(
        name, subnet: subnet.cidr, isInternal: subnet.isInternal,
        labels: [ContainerPlan.ownerLabel: owner, ContainerPlan.subnetLabel: subnet.id.text])
    } catch {
      // Another node of it came first.
      guard error.kind == .refused(409) else { throw error }
    }
  }

  public func subnetsChanged() { sweeps.yield() }

  /// One whose network is looked for before it is told is none that was made meanwhile.
  func removeFormerSubnets() async throws(EngineError) {
    let networks = try await engine.networks(labelled: ["\(ContainerPlan.ownerLabel)=\(owner)"])
      .filter { $0.Labels?[ContainerPlan.subnetLabel] != nil }
    guard !networks.isEmpty, let kept = await configuration.subnets() else { return }
    let names = Set(kept.map(\.text))
    for network in networks {
      guard let subnet = network.Labels?[ContainerPlan.subnetLabel], !names.contains(subnet) else { continue }
      configuration.log("\(network.Name): removing the network of a subnet that was deleted")
      try await engine.removeNetwork(network.Name)
    }
  }

  /// Containers that a crash left between their making and their record, and what an engine made after it was waited for.
  private func removeStrangers(of launch: NodeLaunch) async throws(EngineError) {
    let labels = [
      "\(ContainerPlan.ownerLabel)=\(owner)", "\(ContainerPlan.nodeLabel)=\(launch.node)",
    ]
    let all = try await engine.containers(labelled: labels)
    for container in all {
      guard let instance = container.Labels?[ContainerPlan.instanceLabel].flatMap({ InstanceID($0) }),
        state.withLock({ $0.containers[instance] == nil })
      else { continue }
      configuration.log("\(container.name): removing a container that no instance needs")
      try await remove(instance)
    }
    try await removeStrangeVolumes(labels)
  }

  /// Volumes whose container was never made.
  private func removeStrangeVolumes(_ labels: [String]) async throws(EngineError) {
    for volume in try await engine.volumes(labelled: labels) {
      guard let instance = volume.Labels?[ContainerPlan.instanceLabel].flatMap({ InstanceID($0) }),
        state.withLock({ $0.containers[instance] == nil })
      else { continue }
      try await engine.removeVolume(ContainerPlan.volume(instance))
    }
  }

  func remove(_ instance: InstanceID) async throws(EngineError) {
    try await engine.remove(ContainerPlan.container(instance))
    try await engine.removeVolume(ContainerPlan.volume(instance))
    secretFiles.remove(instance)
  }

  public func retire(_ node: NodeID, release: Int) async {
    state.withLock { $0.prepared[HostName(node, release)] = nil }
    await insist { () throws(EngineError) in
      let labels = [
        "\(ContainerPlan.ownerLabel)=\(self.owner)", "\(ContainerPlan.nodeLabel)=\(node)",
        "\(ContainerPlan.releaseLabel)=\(release)",
      ]
      for container in try await self.engine.containers(labelled: labels) {
        guard let text = container.Labels?[ContainerPlan.instanceLabel], let instance = InstanceID(text)
        else { continue }
        self.state.withLock { $0.containers[instance]?.isStopping = true }
        try await self.remove(instance)
        self.state.withLock { $0.containers[instance] = nil }
      }
      try await self.removeStrangeVolumes(labels)
      try await self.removeTrials(node)
      let rest = try await self.engine.containers(labelled: Array(labels.prefix(2)))
      // Its network can't go before it, and nobody would remove that later.
      if rest.contains(where: { $0.Labels?[ContainerPlan.releaseLabel] == String(release) }) {
        throw EngineError(.occupied, "a container of node \(node) is still being removed")
      }
      // Another release may be about to make its first container.
      let others = self.state.withLock { state in
        state.prepared.keys.contains { $0.node == node && $0.release != release }
      }
      if rest.isEmpty, !others { try await self.engine.removeNetwork(ContainerPlan.network(node)) }
    }
  }

  public func forget(_ node: NodeID) async { pins.remove(node, keeping: []) }

  public func sweep(keeping: @Sendable () async -> [(node: NodeID, release: Int)]?) async {
    await insist { () throws(EngineError) in try await self.sweepOnce(keeping) }
  }

  private func sweepOnce(
    _ keeping: @Sendable () async -> [(node: NodeID, release: Int)]?
  ) async throws(EngineError) {
    let label = "\(ContainerPlan.ownerLabel)=\(owner)"
    // Before the look at the containers: an instance that is made meanwhile is not taken for one that is gone.
    let withFiles = secretFiles.instances()
    let containers = try await engine.containers(labelled: [label])
    let networks = try await engine.networks(labelled: [label])
    let volumes = try await engine.volumes(labelled: [label])
    for container in containers {
      guard let run = container.Labels?[ContainerPlan.exportLabel], run != ImageUnpacker.run else { continue }
      configuration.log("\(container.name): removing what the reading of an image left")
      try await engine.remove(container.name)
    }
    // Of subnets that a run before was asked to delete.
    try await removeFormerSubnets()
    guard let kept = await keeping() else { return }
    let hosts = Set(kept.map { HostName($0.node, $0.release) })
    let nodes = Set(kept.map(\.node.text))
    for container in containers {
      guard let labels = container.Labels, let node = labels[ContainerPlan.nodeLabel].flatMap({ NodeID($0) }),
        let release = labels[ContainerPlan.releaseLabel].flatMap({ Int($0) }),
        let instance = labels[ContainerPlan.instanceLabel].flatMap({ InstanceID($0) }),
        !hosts.contains(HostName(node, release))
      else { continue }
      configuration.log("\(container.name): removing a container that no node needs")
      try await remove(instance)
    }
    // Of an instance whose making was cut short before its container was made.
    for volume in volumes {
      guard let labels = volume.Labels, let node = labels[ContainerPlan.nodeLabel],
        let instance = labels[ContainerPlan.instanceLabel].flatMap({ InstanceID($0) }),
        !nodes.contains(node), state.withLock({ $0.containers[instance] == nil })
      else { continue }
      try await engine.removeVolume(ContainerPlan.volume(instance))
    }
    let known = Set(containers.map(\.name))
    for instance in withFiles where !known.contains(ContainerPlan.container(instance)) {
      if state.withLock({ $0.containers[instance] == nil }) { secretFiles.remove(instance) }
    }
    for network in networks {
      guard let node = network.Labels?[ContainerPlan.nodeLabel], !nodes.contains(node) else { continue }
      try await engine.removeNetwork(network.Name)
    }
    pins.removeOthers(than: Set(kept.map(\.node)))
  }

  /// Tries until the engine has done it: what must go is not forgotten because the engine was away. Ends when cancelled.
  func insist(_ work: @Sendable () async throws(EngineError) -> Void) async {
    var pause = Duration.milliseconds(200)
    var said = ""
    while !Task.isCancelled {
      do throws(EngineError) { return try await work() } catch {
        if Task.isCancelled { return }
        // Said once: a machine without an engine is no news every other second.
        if error.message != said {
          configuration.log("the engine did not do what it must, it is tried again: \(error.message)")
        }
        said = error.message
        if error.isOfEngine { noteTrouble(error) }
        try? await Task.sleep(for: pause)
        pause = min(pause * 2, .seconds(2))
      }
    }
  }

  var pins: ImagePins {
    ImagePins(folder: "\(configuration.dataFolder)/images", zone: configuration.place == 0 ? nil : zone)
  }
}

/// A release of a node.
struct HostName: Hashable, Sendable {
  var node: NodeID
  var release: Int

  init(_ node: NodeID, _ release: Int) {
    self.node = node
    self.release = release
  }
}

/// An image that is here, by what it is asked for from now on.
struct PreparedImage: Sendable {
  /// Repository with digest, or the id of what was built here.
  var pinned: String
  var architecture = ""
  var ports: [Int] = []
  var cpus = 1
  /// `USER[:GROUP]` of the image; empty: root.
  var user = ""
  /// Of the image, unpacked.
  var bytes: Int64 = 0
  var disks = InstanceDisks()
  /// Added to the users of containers.
  var userBase: UInt32 = 0
  var warnings: [String] = []
  /// It can't be used.
  var refusal: DriverFailure?
}

/// The engine can't be worked with.
struct EngineTrouble: Sendable {
  var message: String
  var since: Timestamp
}

/// A container of an instance.
struct KnownContainer: Sendable {
  var handle: InstanceHandle?
  var node: NodeID
  var nodeName: String
  var release: Int
  var memoryBytes: Int64
  var stopSeconds: Double
  var port: Int
  var exposedPorts: [Int]
  /// Its end was asked for here.
  var isStopping = false
  /// Its end was seen.
  var hasEnded = false
  /// What it used when it was last looked at.
  var usage: InstanceUsage?
  /// Its log is followed.
  var isFollowed = false
  var startTimes: (create: Duration, start: Duration)?
}
