//! Architectures and subarchitectures.

use mrp_core::api;
use mrp_core::arch::{Arch, Subarch};
use mrp_core::id::Id;
use mrp_core::service::archs::SubarchSpec;

use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::page::Pages;
use crate::reply;
use crate::router::{Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/arch", "list_archs", Who::User, list)
            .about("Architectures")
            .paged()
            .answers::<Vec<api::Arch>>(200),
        Route::new("POST", "/api/v1/arch", "create_arch", Who::Admin, create)
            .about("Makes an architecture")
            .tagged()
            .body::<api::NewArch>()
            .answers::<api::Arch>(201)
            .refuses(&[409]),
        Route::new("PUT", "/api/v1/arch/{id}", "set_arch", Who::Admin, set)
            .about("Changes an architecture")
            .tagged()
            .conditional()
            .body::<api::NewArch>()
            .answers::<api::Arch>(200)
            .refuses(&[409]),
        Route::new("DELETE", "/api/v1/arch/{id}", "delete_arch", Who::Admin, delete)
            .about("Removes an architecture that nothing uses")
            .conditional()
            .answers_nothing(204)
            .refuses(&[409]),
        Route::new("GET", "/api/v1/subarch", "list_subarchs", Who::User, list_subarchs)
            .about("Subarchitectures")
            .paged()
            .answers::<Vec<api::Subarch>>(200),
        Route::new("POST", "/api/v1/subarch", "create_subarch", Who::Admin, create_subarch)
            .about("Makes a subarchitecture")
            .tagged()
            .body::<api::NewSubarch>()
            .answers::<api::Subarch>(201)
            .refuses(&[404, 409]),
        Route::new("PUT", "/api/v1/subarch/{id}", "set_subarch", Who::Admin, set_subarch)
            .about("Changes a subarchitecture")
            .tagged()
            .conditional()
            .body::<api::NewSubarch>()
            .answers::<api::Subarch>(200)
            .refuses(&[409]),
        Route::new("DELETE", "/api/v1/subarch/{id}", "delete_subarch", Who::Admin, delete_subarch)
            .about("Removes a subarchitecture that no machine uses")
            .conditional()
            .answers_nothing(204)
            .refuses(&[409]),
    ]
}

async fn list(call: Call) -> Answer {
    let archs = call.service().archs().list(call.actor()).await?;
    Pages::of(&call)?.answer(&call, archs, |arch| arch.id.get(), view)
}

async fn create(call: Call) -> Answer {
    let new: api::NewArch = call.exact().await?;
    let made = call.service().archs().create(call.actor(), &new.name, &new.description).await?;
    Ok(reply::tagged(reply::created(&view(&made)), made.revision))
}

async fn set(call: Call) -> Answer {
    let new: api::NewArch = call.exact().await?;
    let archs = call.service().archs().expecting(call.expected());
    let set = archs.update(call.actor(), call.id(0)?, &new.name, &new.description).await?;
    Ok(reply::tagged(reply::ok(&view(&set)), set.revision))
}

async fn delete(call: Call) -> Answer {
    call.service().archs().expecting(call.expected()).delete(call.actor(), call.id(0)?).await?;
    Ok(reply::no_content())
}

async fn list_subarchs(call: Call) -> Answer {
    let archs = call.service().archs().list(call.actor()).await?;
    let subarchs = call.service().archs().subarchs(call.actor()).await?;
    let view = |subarch: &Subarch| subarch_view(subarch, &archs);
    Pages::of(&call)?.answer(&call, subarchs, |subarch| subarch.id.get(), view)
}

async fn create_subarch(call: Call) -> Answer {
    let new: api::NewSubarch = call.exact().await?;
    call.actor().require_admin()?;
    let arch = call.service().archs().by_name(call.actor(), &new.arch).await?;
    let made = call.service().archs().create_subarch(call.actor(), arch.id, spec(new)).await?;
    Ok(reply::tagged(reply::created(&subarch_view(&made, &[arch])), made.revision))
}

async fn set_subarch(call: Call) -> Answer {
    let new: api::NewSubarch = call.exact().await?;
    let archs = call.service().archs().expecting(call.expected());
    let arch = new.arch.clone();
    let set = archs.update_subarch(call.actor(), call.id(0)?, &arch, spec(new)).await?;
    let archs = call.service().archs().list(call.actor()).await.map_err(ApiError::from)?;
    Ok(reply::tagged(reply::ok(&subarch_view(&set, &archs)), set.revision))
}

async fn delete_subarch(call: Call) -> Answer {
    call.service().archs().expecting(call.expected()).delete_subarch(call.actor(), call.id(0)?).await?;
    Ok(reply::no_content())
}

fn spec(new: api::NewSubarch) -> SubarchSpec {
    SubarchSpec {
        name: new.name,
        description: new.description,
        bootloader: new.bootloader_id.map(Id::new),
        efi_boot: new.efiboot,
    }
}

fn view(arch: &Arch) -> api::Arch {
    api::Arch { id: arch.id.get(), name: arch.name.clone(), description: arch.description.clone() }
}

fn subarch_view(subarch: &Subarch, archs: &[Arch]) -> api::Subarch {
    let arch = archs.iter().find(|arch| arch.id == subarch.arch);
    api::Subarch {
        id: subarch.id.get(),
        arch: arch.map(|arch| arch.name.clone()).unwrap_or_default(),
        name: subarch.name.clone(),
        description: subarch.description.clone(),
        bootloader_id: subarch.bootloader.map(Id::get),
        efiboot: subarch.efi_boot,
    }
}
