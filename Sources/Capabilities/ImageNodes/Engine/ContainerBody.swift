// Fields are called what the engine calls them.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

/// Body of a container's creation: what the engine is asked for, in its own words.
struct ContainerBody: Sendable, Encodable, Equatable {
  struct Health: Sendable, Encodable, Equatable { var Test = ["NONE"] }

  struct Log: Sendable, Encodable, Equatable {
    var `Type` = "json-file"
    var Config = ["max-size": "10m", "max-file": "2"]
  }

  struct Restart: Sendable, Encodable, Equatable { var Name = "no" }

  struct Limit: Sendable, Encodable, Equatable {
    var Name: String
    var Soft: Int
    var Hard: Int
  }

  struct Mount: Sendable, Encodable, Equatable {
    var `Type`: String
    var Source: String
    var Target: String
    var ReadOnly: Bool
  }

  struct Device: Sendable, Encodable, Equatable {
    var Driver: String
    var Count: Int
    var Capabilities: [[String]]
  }

  struct Host: Sendable, Encodable, Equatable {
    var NanoCpus: Int64
    var Memory: Int64
    /// Equal to `Memory`: no swap.
    var MemorySwap: Int64
    var PidsLimit: Int
    var OomScoreAdj = 500
    var ReadonlyRootfs: Bool
    var CapDrop = ["ALL"]
    var CapAdd: [String]
    var SecurityOpt = ["no-new-privileges"]
    var Tmpfs: [String: String]
    var ShmSize: Int64
    var Init: Bool?
    var IpcMode = "private"
    var RestartPolicy = Restart()
    var AutoRemove = false
    var NetworkMode: String
    var LogConfig = Log()
    var Mounts: [Mount]
    var Ulimits: [Limit]?
    var DeviceRequests: [Device]?
    var Runtime: String?
    /// `size`: bytes that the container's own files may have.
    var StorageOpt: [String: String]?
  }

  var Hostname: String
  var User: String?
  var Env: [String]
  var Image: String
  var Entrypoint: [String]?
  var Cmd: [String]?
  var WorkingDir: String?
  var Labels: [String: String]
  var ExposedPorts: [String: EngineImage.Empty]
  var StopSignal: String?
  var StopTimeout: Int
  /// The image's own check is off: each of its probes would be a process in the container.
  var Healthcheck = Health()
  var HostConfig: Host
}
