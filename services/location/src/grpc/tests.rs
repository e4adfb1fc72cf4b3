//! The server that build.rs writes is that of the proto.

use hexcab_proto::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::FileDescriptorSet;

const BUILD: &str = include_str!("../../build.rs");

#[test]
fn the_server_has_the_methods_of_the_proto() {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap().file;
    let mut methods = 0;
    for method in files
        .iter()
        .filter(|file| file.package() == "hexcab.location.v1")
        .flat_map(|file| &file.service)
        .flat_map(|service| &service.method)
    {
        let name = method.name();
        let quoted = format!("\"{name}\"");
        let (_, built) = BUILD
            .split_once(&quoted)
            .unwrap_or_else(|| panic!("{name} is not in build.rs"));
        let built = built.split(".build()").next().unwrap();
        for (streams, word) in [
            (method.client_streaming(), "client_streaming"),
            (method.server_streaming(), "server_streaming"),
        ] {
            assert_eq!(streams, built.contains(word), "{name}: {word}");
        }
        let message = |of: &str| format!(".hexcab.location.v1.{name}{of}");
        assert_eq!(
            (method.input_type(), method.output_type()),
            (message("Request").as_str(), message("Response").as_str())
        );
        methods += 1;
    }
    assert_eq!(
        BUILD.matches(".build(),").count() + BUILD.matches(".build())").count(),
        methods
    );
}
