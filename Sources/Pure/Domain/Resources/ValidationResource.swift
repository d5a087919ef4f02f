/// Answer of `POST /v1/nodes:validate`: what a node would be.
public struct ValidationResource: Sendable, Codable, Equatable {
  public var spec: NodeSpec
  /// What its maker should know though nothing is refused.
  public var warnings: [String]

  public init(spec: NodeSpec, warnings: [String]) {
    self.spec = spec
    self.warnings = warnings
  }
}
