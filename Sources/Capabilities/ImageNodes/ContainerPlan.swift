import Domain
import DriverAPI

/// What things of a node are called in the engine, and how its containers are made.
enum ContainerPlan {
  static let ownerLabel = "roost.owner"
  static let nodeLabel = "roost.node"
  static let nameLabel = "roost.node-name"
  static let releaseLabel = "roost.release"
  static let instanceLabel = "roost.instance"
  static let subnetLabel = "roost.subnet"
  /// Of a container whose files are read; its value is the run of the service that reads them.
  static let exportLabel = "roost.export"

  static func container(_ instance: InstanceID) -> String { "roost-\(instance)" }
  static func volume(_ instance: InstanceID) -> String { "roost-\(instance)-disk" }
  static func network(_ node: NodeID) -> String { "roost-\(node)" }
  /// A volume and a container of no use.
  static func trial(_ node: NodeID) -> String { "roost-\(node)-trial" }
  static func network(_ subnet: SubnetID) -> String { "roost-\(subnet)" }

  static func labels(_ launch: NodeLaunch, owner: String) -> [String: String] {
    [
      ownerLabel: owner, nodeLabel: launch.node.text, nameLabel: launch.nodeName,
      releaseLabel: String(launch.release),
    ]
  }

  /// - Parameters:
  ///   - image: id or pinned reference.
  ///   - cpus: that the machine has.
  ///   - rootBytes: size of the container's own files, for storage that can hold to it.
  static func body(
    _ instance: InstanceID, _ launch: NodeLaunch, _ source: ImageSource, image: String, owner: String,
    cpus: Int, secrets: InstanceSecrets = InstanceSecrets(), network: String? = nil, rootBytes: Int64? = nil
  ) -> ContainerBody {
    var labels = labels(launch, owner: owner)
    labels[instanceLabel] = instance.text
    let variables = source.environment.merging(secrets.variables) { _, secret in secret }
    let environment =
      variables.map { "\($0.key)=\($0.value)" }.sorted() + [
        "PORT=\(source.port)", "ROOST_NODE_ID=\(launch.node)", "ROOST_INSTANCE_ID=\(instance)",
      ]
    let scratch = max(launch.memoryBytes / 4, 1 << 20)
    let tmpfs = source.writablePaths.map { ($0, "rw,exec,nosuid,nodev,mode=1777,size=\(scratch)") }
    let disk = source.diskGigabytes.map { _ in
      ContainerBody.Mount(
        Type: "volume", Source: volume(instance), Target: source.diskPath, ReadOnly: false)
    }
    let given = secrets.files + (launch.mounts ?? []).map { (target: $0.target, source: $0.source) }
    let files = given.map {
      ContainerBody.Mount(Type: "bind", Source: $0.source, Target: $0.target, ReadOnly: true)
    }
    return ContainerBody(
      Hostname: instance.text, User: source.runAs, Env: environment, Image: image,
      Entrypoint: source.command, Cmd: source.args, Labels: labels,
      ExposedPorts: ["\(source.port)/tcp": .init()],
      StopTimeout: Int(source.stopSeconds.rounded(.up)),
      HostConfig: .init(
        NanoCpus: Int64(min(launch.cpus, Double(cpus)) * 1e9), Memory: launch.memoryBytes,
        MemorySwap: launch.memoryBytes, PidsLimit: launch.pids, ReadonlyRootfs: source.readOnlyRoot,
        CapAdd: source.capabilities, Tmpfs: Dictionary(tmpfs) { first, _ in first },
        ShmSize: source.sharedMemoryBytes, Init: true, NetworkMode: network ?? Self.network(launch.node),
        Mounts: (disk.map { [$0] } ?? []) + files,
        DeviceRequests: launch.gpus.map { [.init(Driver: "nvidia", Count: $0, Capabilities: [["gpu"]])] },
        StorageOpt: rootBytes.map { ["size": String($0)] }))
  }
}
