/// The files of Google's protobuf that others here import. Their descriptors equal the originals, so that a client which
/// has them already takes ours for the same.
extension ProtoFile {
  private static func google(_ outer: String, _ go: String, arenas: Bool) -> [Option] {
    [
      .text("java_package", 1, "com.google.protobuf"), .text("java_outer_classname", 8, outer),
      .flag("java_multiple_files", 10),
      .text("go_package", 11, "google.golang.org/protobuf/types/known/\(go)"),
      .text("objc_class_prefix", 36, "GPB"), .text("csharp_namespace", 37, "Google.Protobuf.WellKnownTypes"),
    ] + (arenas ? [.flag("cc_enable_arenas", 31)] : [])
  }

  public static let structure = ProtoFile(
    "google/protobuf/struct.proto", package: "google.protobuf",
    messages: [
      Message("Struct", [Field("fields", 1, .map(.message("google.protobuf.Value")))]),
      Message(
        "Value",
        [
          Field("null_value", 1, .enumeration("google.protobuf.NullValue"), oneof: "kind"),
          Field("number_value", 2, .double, oneof: "kind"),
          Field("string_value", 3, .string, oneof: "kind"),
          Field("bool_value", 4, .bool, oneof: "kind"),
          Field("struct_value", 5, .message("google.protobuf.Struct"), oneof: "kind"),
          Field("list_value", 6, .message("google.protobuf.ListValue"), oneof: "kind"),
        ]),
      Message("ListValue", [Field("values", 1, .message("google.protobuf.Value"), .repeated)]),
    ], enums: [EnumType("NullValue", ["NULL_VALUE"])],
    options: google("StructProto", "structpb", arenas: true))

  public static let timestamp = ProtoFile(
    "google/protobuf/timestamp.proto", package: "google.protobuf",
    messages: [Message("Timestamp", [Field("seconds", 1, .int64), Field("nanos", 2, .int32)])],
    options: google("TimestampProto", "timestamppb", arenas: true))

  public static let any = ProtoFile(
    "google/protobuf/any.proto", package: "google.protobuf",
    messages: [Message("Any", [Field("type_url", 1, .string), Field("value", 2, .bytes)])],
    options: google("AnyProto", "anypb", arenas: false))

  public static let status = ProtoFile(
    "google/rpc/status.proto", package: "google.rpc", imports: ["google/protobuf/any.proto"],
    messages: [
      Message(
        "Status",
        [
          Field("code", 1, .int32), Field("message", 2, .string),
          Field("details", 3, .message("google.protobuf.Any"), .repeated),
        ])
    ],
    options: [
      .text("java_package", 1, "com.google.rpc"), .text("java_outer_classname", 8, "StatusProto"),
      .flag("java_multiple_files", 10),
      .text("go_package", 11, "google.golang.org/genproto/googleapis/rpc/status;status"),
      .text("objc_class_prefix", 36, "RPC"),
    ])
}
