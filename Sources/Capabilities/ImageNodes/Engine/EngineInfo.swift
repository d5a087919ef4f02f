// Fields are called what the engine calls them.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

/// What the engine tells of its machine (`GET /info`), as far as it is used.
public struct EngineInfo: Sendable, Decodable {
  public var ID: String?
  public var NCPU: Int
  public var MemTotal: Int64
  public var Architecture: String?
  public var OSType: String?
  public var ServerVersion: String?
  public var Driver: String?
  public var DriverStatus: [[String]]?
  public var CgroupVersion: String?
  public var InitBinary: String?
  public var MemoryLimit: Bool?
  public var PidsLimit: Bool?
  public var CpuCfsQuota: Bool?
  public var SecurityOptions: [String]?
  public var DockerRootDir: String?
}
